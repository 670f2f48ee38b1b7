"""The link: what a node process and one of its gateway workers say to each other.

A worker tells the node which subscriptions it holds and forwards publishes; the node answers with history,
live messages and news, in one FIFO per worker. Because of the FIFO a hand-over is exact: whatever follows the
`Page` with `live` is newer than it, so a resume can neither lose nor repeat a message.

Both directions carry lists of the events below, so that one send serves many clients. A worker sends its `Subscribe`s,
with the publishes that must follow them, in packets of their own, after those with everything else: a node that has
several packets to take may take those first which begin with anything but `Subscribe`, but no `Subscribe` before what
was said earlier. Every packet from the node is numbered from 0 (numbering.py); a worker that sees a jump has lost some
(its queue was full) and says `CatchUp`.

Not here: the sockets (node/workers.py and gateway/uplink.py), what clients see (gateway/sessions/frames.py).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mesh.log import Gap, Place, Position
from mesh.revocations import Revocation

JSON, MSGPACK = 0, 1
"""Encodings: `whimbrel.v1.json` and `whimbrel.v1.msgpack`."""


class Start(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a subscription starts. `kind` is one of latest, now, last, time, at, resume (PROTOCOL section 5)."""

    kind: str
    number: int = 0
    """For `last` a number of messages; for `time` milliseconds since 1970."""
    place: dict[str, Position | None] = {}
    """`at` and `resume`: positions by log; None: a log that starts with live messages."""


# From a worker to its node.


class Ready(msgspec.Struct, array_like=True, tag="ready", gc=False):
    """The worker listens. First event of a worker; `index` tells which one it is."""

    index: int
    pid: int


class Subscribe(msgspec.Struct, array_like=True, tag="subscribe", gc=False):
    """A client's subscription. The node answers with one `Answer`, then `Page`s until it is live in every log."""

    sid: int
    """The worker's number for the subscription, never used again in this worker's life."""
    sub: int
    """The client's own id of it: `sub` in the frames of pages."""
    subject: str
    """Subject or pattern, checked by the worker."""
    encoding: int
    start: Start
    client: int = 0
    """The worker's number for the client: the node serves clients in turn, whatever each of them asks for."""


class More(msgspec.Struct, array_like=True, tag="more", gc=False):
    """The client has taken the last `Page` of `sid`: send the next. Sent once per page that was not final."""

    sid: int


class Cancel(msgspec.Struct, array_like=True, tag="cancel", gc=False):
    """The subscription ended. Only for subscriptions that have not had their final page. Answered by `Cancelled`.

    The node stops whatever it does for the subscription, and forgets what it has not begun.
    """

    sid: int


class Drop(msgspec.Struct, array_like=True, tag="drop", gc=False):
    """The worker's last subscription to this subject or pattern in this encoding is gone: no live messages for it.

    Never sent while a `Subscribe` of the same subject and encoding is unanswered (it would undo its interest).
    """

    subject: str
    encoding: int


class Publish(msgspec.Struct, array_like=True, tag="publish", gc=False):
    """A client's publish. Answered by `Published` or `Refused` with the same `pid`, in any order."""

    pid: int
    subject: str
    publisher: str
    seq: int
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Query(msgspec.Struct, array_like=True, tag="query", gc=False):
    """An HTTP request that the node answers: `what` is ready, status or metrics. Answered by `Reply`."""

    rid: int
    what: str


CLOSES = "closes_"
"""Begins the names of those of `Stats` that count connections which the worker ended; the close code follows."""


class Stats(msgspec.Struct, array_like=True, tag="stats", gc=False):
    """The worker's counters and gauges, once a second. Names as in gateway/sessions/stats.py.

    A worker that has sent none for 3 s stands still (stopped, or in an endless callback). It goes on being given
    connections that nobody serves: kill it, and start another.
    """

    values: dict[str, float]
    delivery_counts: list[int] = []
    """Live messages by how long they took from `Live.read_at` until they were written (buckets: mesh/histogram.py)."""
    delivery_sum_s: float = 0.0


class ConnectionRow(msgspec.Struct, gc=False):
    """A client, for those who run the node."""

    address: str
    identity: str
    """Whom the authorizer takes it for; empty: nobody in particular, or not asked yet."""
    encoding: str
    subscriptions: int
    subjects: list[str]
    """Of the first of its subscriptions."""
    publishes: int
    """Not yet answered."""
    waiting_bytes: int
    """Not yet taken by the client."""


class Selected(msgspec.Struct, array_like=True, tag="selected", gc=False):
    """Answers `Select`."""

    number: int
    count: int
    """Of all the worker's clients that are meant."""
    rows: list[ConnectionRow]


class CatchUp(msgspec.Struct, array_like=True, tag="catchup", gc=False):
    """The link has lost something: catch up the worker itself, log by log, once for all its live subscriptions.

    `ends` is what the worker has handed out, of each topic in which it has live subscriptions: topic -> log ->
    position. What follows these positions, of the subjects and patterns that the worker holds, is what it lacks.

    The worker has ended the clients for which this is not enough (those in the middle of their pages), and asks anew,
    behind this event, for subscriptions that were not answered. It ignores all news of topics and logs (`Live`,
    `Missed`, `NewLog`, `LogGap`, `LogEnded`) until `Resuming` with this number.

    The node, which has not forgotten what the worker holds (it must not when it cuts a worker off either):

    1. forgets the worker's unfinished subscriptions and an earlier `CatchUp` of it, and says `Resuming`;
    2. sends no `Live` messages or ends of any log to the worker, until that log is caught up (4). Others go on;
    3. sends for each log of each of these topics, in slices, logs in turn, behind live
       traffic: what stands in the log after the worker's position, from the cache, else as for a resume. Only the
       messages of subjects that the worker holds, each in the encodings in which it holds them, as `Missed`.
       What cannot be had is stated before, as `LogGap`. A log that `ends` does not name is new to the worker:
       `NewLog` with its beginning comes first. One that is gone is `LogEnded`, or `LogGap` with no end;
    4. says with the last `Missed` of a log that it is live: the worker then has all of it up to `at`, and gets what
       follows by `Live`;
    5. makes no subscription live in a log before the worker is live in it again. (Its `Page`s say up to where it has
       had everything. A `Missed` from before that would come a second time.)

    When the worker is cut off again meanwhile it finds another jump, and sends another `CatchUp`.
    """

    number: int
    """1, 2, ... in this worker's life."""
    ends: dict[str, Place]


class WantKeys(msgspec.Struct, array_like=True, tag="wantkeys", gc=False):
    """A token was signed with a key that is not among those of this URL, as far as the worker knows them.

    Answered by `IssuerKeys`, which may be those that the worker has: they are not fetched for every token.
    """

    url: str


class Admit(msgspec.Struct, array_like=True, tag="admit", gc=False):
    """The authorizer lets a client in: is there room for it? Answered by `Admitted`; asked again after a loss."""

    number: int
    """Names the connection in this worker's life."""
    address: str
    """Whom its address belongs to; empty: not counted."""
    identity: str
    """Empty: nobody in particular, or not counted."""


class Leave(msgspec.Struct, array_like=True, tag="leave", gc=False):
    """A connection for which `Admit` was asked is gone."""

    number: int


class WantRevoked(msgspec.Struct, array_like=True, tag="wantrevoked", gc=False):
    """The worker has lost a part of what the node said. Answered by `RevokedTokens`, with all of them."""


class Audited(msgspec.Struct, array_like=True, tag="audited", gc=False):
    """What happened to the worker's clients, for auditors. Lost without harm to anything else."""

    count: int
    events: bytes
    """A line of JSON each: `time_ms`, `node`, `kind`, `event`, and what there is to know about it."""


class MissedTaken(msgspec.Struct, array_like=True, tag="missedtaken", gc=False):
    """The worker has handed out a `Missed` of this `CatchUp`: the node has only few on their way at a time."""

    number: int


class Taken(msgspec.Struct, array_like=True, tag="taken", gc=False):
    """So many packets of the node have come and been handled, in this worker's life: what it has sent beyond waits."""

    packets: int


ForCore: TypeAlias = (
    Subscribe | More | Cancel | Drop | Publish | Stats | CatchUp | MissedTaken | WantKeys | WantRevoked | Admit | Leave
)
"""What the node's decisions are about (node/core.py)."""
ForShell: TypeAlias = Ready | Query | Selected | Taken | Audited
"""What concerns the two processes."""
FromWorker: TypeAlias = ForCore | ForShell


# From a node to a worker.


class Answer(msgspec.Struct, array_like=True, tag="answer", gc=False):
    """Answers `Subscribe`: becomes the frame `subscribed` of PROTOCOL section 5."""

    sid: int
    answer: str
    """fresh, full or gap."""
    at: Place
    gaps: list[Gap]
    waiting: list[str]


class Cancelled(msgspec.Struct, array_like=True, tag="cancelled", gc=False):
    """Answers `Cancel`: the node does nothing more for the subscription. Until then it counts against its client."""

    sid: int


class Waiting(msgspec.Struct, array_like=True, tag="waiting", gc=False):
    """News before `Answer`: nothing can be read yet, because of `why`."""

    sid: int
    why: str


class Page(msgspec.Struct, array_like=True, tag="page", gc=False):
    """History or catch-up of one subscription: WebSocket frames, ready to send.

    `live` names the logs in which the subscription is live from here on (frame `live`, sent after `data`).
    `final`: nothing more comes unless a log that is waiting or new appears; else the node waits for `More`.
    Live batches for the subject come from the first page with a non-empty `live`.
    """

    sid: int
    data: bytes
    live: Place
    gaps: list[Gap]
    """Stated before `data`."""
    final: bool


class Live(msgspec.Struct, array_like=True, tag="live", gc=False):
    """Live messages for this worker's subjects, in order, as finished WebSocket frames.

    `ends` has each log touched since the last `Live` and the position up to which everything has now been sent,
    so that the worker knows its place in every log of its topics. It comes at least once a second.
    """

    ends: dict[str, Place]
    """Topic -> log -> position."""
    json: tuple[list[str], list[bytes]]
    """Subjects and, beside them, their frames."""
    msgpack: tuple[list[str], list[bytes]]
    read_at: float = 0.0
    """When the node had the first of these messages, in seconds of the machine's monotonic clock."""


class Resuming(msgspec.Struct, array_like=True, tag="resuming", gc=False):
    """The node has taken `CatchUp`: what it says from here on was said after that."""

    number: int


class Missed(msgspec.Struct, array_like=True, tag="missed", gc=False):
    """A part of what the worker missed of one log, for all its clients, in the order of the log; see `CatchUp`."""

    number: int
    """Of the `CatchUp`."""
    topic: str
    log: str
    at: Position
    """Up to here the worker now has everything of the log that it wants."""
    is_live: bool
    """The worker has caught up: what follows in the log comes as `Live`."""
    json: tuple[list[str], list[bytes]]
    """As in `Live`."""
    msgpack: tuple[list[str], list[bytes]]


Share: TypeAlias = tuple[int, int] | None
"""(slot, number of slots) of a log that has only the subjects of that slot (mesh/placement.py); None: any."""


class NewLog(msgspec.Struct, array_like=True, tag="newlog", gc=False):
    """A log that did not exist before: every live subscription of the topic is live in it from its beginning `at`."""

    topic: str
    log: str
    at: Position
    share: Share = None


class LogGap(msgspec.Struct, array_like=True, tag="loggap", gc=False):
    """The node itself missed a part of a log: every subscription of the topic is told (frame `gap`)."""

    topic: str
    gap: Gap
    share: Share = None


class LogEnded(msgspec.Struct, array_like=True, tag="logended", gc=False):
    """The log no longer exists; live subscriptions have had all of it (frame `ended`)."""

    topic: str
    log: str
    share: Share = None


class Published(msgspec.Struct, array_like=True, tag="published", gc=False):
    pid: int
    log: str
    at: Position | None


class Refused(msgspec.Struct, array_like=True, tag="refused", gc=False):
    """A publish that failed. `code` as in gateway/link/codes.py."""

    pid: int
    code: int
    reason: str


class Reply(msgspec.Struct, array_like=True, tag="reply", gc=False):
    """Answers `Query`: an HTTP response."""

    rid: int
    status: int
    content_type: str
    body: bytes


class Select(msgspec.Struct, array_like=True, tag="select", gc=False):
    """Whoever runs the node asks for clients: those that fit all that is given. Answered by `Selected`."""

    number: int
    identity: str | None = None
    address: str | None = None
    """`host`, or `host:port` for one."""
    subject: str | None = None
    """Subject or pattern of one of its subscriptions."""
    rows_max: int = 0
    close: str | None = None
    """Also close them, with this reason."""


class Servers(msgspec.Struct, array_like=True, tag="servers", gc=False):
    """WebSocket addresses of the cluster's nodes, told to clients in `welcome` from here on.

    The first list is in the worker's settings. Sent when the list changes and, because a packet can be lost, now and
    then again.
    """

    servers: list[str]


class IssuerKeys(msgspec.Struct, array_like=True, tag="keys", gc=False):
    """Keys of those who issue tokens, as the node has fetched them; sent when they change, and on `WantKeys`."""

    url: str
    jwks: bytes
    """A JSON Web Key Set; empty: there was none to be had yet."""


class Admitted(msgspec.Struct, array_like=True, tag="admitted", gc=False):
    """Answers `Admit`."""

    number: int
    wait_s: float
    """0: it may come; else it may try again after so many seconds."""
    is_address: bool
    """Whether it is its address that has too much, not its identity."""


class RevokedTokens(msgspec.Struct, array_like=True, tag="revoked", gc=False):
    """Tokens are revoked: end their clients, and let nobody in with them. Adds to what was said before."""

    entries: list[Revocation]


class Room(msgspec.Struct, array_like=True, tag="room", gc=False):
    """Whether other workers of the node take connections: `others` if some of them have fewer than they may have.

    A full worker then leaves the sockets among which the kernel spreads new connections, and joins them again once it
    has room, or the others have none: somebody has to answer that all are full. Say it when it changes, and now and
    then again; before that a worker takes it that there is no room. A worker's `Stats` has `connections`, and
    `connections_max`, which can be lower than what was configured.
    """

    others: bool


class Drain(msgspec.Struct, array_like=True, tag="drain", gc=False):
    """Tell the clients to move, spread over `window_s`, then close what is left and exit."""

    window_s: float
    servers: list[str]


FromNode: TypeAlias = (
    Answer
    | Cancelled
    | Waiting
    | Page
    | Live
    | Resuming
    | Missed
    | NewLog
    | LogGap
    | LogEnded
    | Published
    | Refused
    | Reply
    | Select
    | Servers
    | IssuerKeys
    | RevokedTokens
    | Admitted
    | Room
    | Drain
)
