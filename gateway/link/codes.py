"""Error and close codes: the table of client/PROTOCOL.md section 10, as data. The hundreds say what a client does.

Append only: the numbers are the protocol. client/vectors/codes.json is the same table for the SDKs.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """One row. `shown_as` is what may carry the code: error, close or both."""

    code: int
    name: str
    shown_as: str
    meaning: str


RESYNC = 4000
SLOW_CONSUMER = 4001
IDLE = 4002
HELLO_TIMEOUT = 4003
DISCONNECTED = 4004
KAFKA_UNAVAILABLE = 4010
QUEUE_FULL = 4011
OUTCOME_UNKNOWN = 4012
TOO_MANY_PUBLISHES = 4013
NO_COORDINATOR = 4014
INTERNAL = 4019
RATE_LIMITED = 4020
DRAINING = 4100
NODE_LOST = 4101
TOKEN_EXPIRED = 4200
TOKEN_INVALID = 4201
TOKEN_REVOKED = 4202
BAD_FRAME = 4300
BAD_ORDER = 4301
FRAME_TOO_LARGE = 4302
REFUSED = 4303
BAD_SUBJECT = 4310
NOT_MAPPED = 4311
FORBIDDEN = 4312
PUBLISH_DISABLED = 4313
MESSAGE_TOO_LARGE = 4314
TOO_MANY_SUBSCRIPTIONS = 4315
NO_SUCH_SUBSCRIPTION = 4316
ID_IN_USE = 4317
BAD_REQUEST = 4318

TABLE = (
    Code(RESYNC, "resync", "close", "the server lost track of this connection's subscriptions"),
    Code(
        SLOW_CONSUMER,
        "slow_consumer",
        "close",
        "the connection took messages more slowly than they came, and its outbox is full: resume",
    ),
    Code(IDLE, "idle", "close", "nothing received for 2 to 3 × `heartbeat_s`"),
    Code(HELLO_TIMEOUT, "hello_timeout", "close", "no `hello` within 10 s"),
    Code(DISCONNECTED, "disconnected", "close", "whoever runs the server closed the connection"),
    Code(KAFKA_UNAVAILABLE, "kafka_unavailable", "error", "Kafka does not answer"),
    Code(QUEUE_FULL, "queue_full", "error", "the node's publish queue is full"),
    Code(
        OUTCOME_UNKNOWN,
        "outcome_unknown",
        "error",
        "Kafka, or the cluster, did not say in time whether it has the message",
    ),
    Code(TOO_MANY_PUBLISHES, "too_many_publishes", "error", "more publishes in flight than `limits.publishes`"),
    Code(
        NO_COORDINATOR,
        "no_coordinator",
        "error",
        "nothing can be committed just now; `reason` says what is waited for: "
        "voters that cannot be reached, lack the log or cannot save a promise, or an election",
    ),
    Code(INTERNAL, "internal", "both", "a fault of the server's"),
    Code(
        RATE_LIMITED,
        "rate_limited",
        "both",
        "more, or faster, than is allowed; `reason` begins with `retry after N s`: come back no sooner",
    ),
    Code(DRAINING, "draining", "close", "the server is shutting down"),
    Code(NODE_LOST, "node_lost", "close", "the worker lost its node process"),
    Code(TOKEN_EXPIRED, "token_expired", "both", "the token has expired"),
    Code(TOKEN_INVALID, "token_invalid", "both", "the token is missing or broken, or from nobody who is known here"),
    Code(TOKEN_REVOKED, "token_revoked", "both", "the token has been revoked"),
    Code(
        BAD_FRAME,
        "bad_frame",
        "close",
        "not JSON / MessagePack, not a map, an unknown `op`, a missing or wrong key; the reason says which",
    ),
    Code(BAD_ORDER, "bad_order", "close", "`hello` was not first, or came twice"),
    Code(FRAME_TOO_LARGE, "frame_too_large", "close", "a frame above `limits.frame_bytes`"),
    Code(REFUSED, "refused", "close", "the authorizer refused the connection"),
    Code(BAD_SUBJECT, "bad_subject", "error", "not a subject (or pattern); the reason says why"),
    Code(
        NOT_MAPPED,
        "not_mapped",
        "error",
        "no configured mapping covers this topic; or, of a publish, the topic does not exist",
    ),
    Code(FORBIDDEN, "forbidden", "error", "the authorizer refused"),
    Code(PUBLISH_DISABLED, "publish_disabled", "error", "the mapping does not allow publishing"),
    Code(MESSAGE_TOO_LARGE, "message_too_large", "error", "above the configured or Kafka's limit"),
    Code(TOO_MANY_SUBSCRIPTIONS, "too_many_subscriptions", "error", "above `limits.subscriptions`"),
    Code(NO_SUCH_SUBSCRIPTION, "no_such_subscription", "error", "`unsubscribe` of an unknown `sub`"),
    Code(ID_IN_USE, "id_in_use", "error", "a `subscribe` with the id of an existing subscription"),
    Code(
        BAD_REQUEST,
        "bad_request",
        "error",
        "a value that cannot be used (a start, a publisher id, a header); the reason says which",
    ),
)

NAMES = {row.code: row.name for row in TABLE}
