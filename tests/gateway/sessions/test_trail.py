"""What auditors are told of a worker's clients."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.link import codes
from gateway.link import events as link
from gateway.link.messages import encode_json
from gateway.link.settings import TopicRule
from gateway.sessions import trail as trails
from mesh.log import Entry, Gap
from mesh.revocations import Revocation
from tests.gateway.sessions.core import Harness
from whimbrel_server import Authorizer, Connection, Identity, Refusal

PUBLISH: dict[str, Any] = {"op": "publish", "subject": "/t/a", "publisher": "p" * 16, "seq": 1, "json": 1}
AUDITED = [TopicRule("t", "json", True, audit=True), TopicRule("quiet", "json", True)]


class Ann(Authorizer):
    blocks = False

    def connect(self, connection: Connection) -> Identity:
        if connection.token != "ann":
            raise Refusal("who are you?", codes.TOKEN_INVALID)
        return Identity("ann", token_id="t1", expires_at=connection_end())

    def subscribe(self, identity: Identity, subject: str) -> None:
        if "secret" in subject:
            raise Refusal("that is secret")

    def publish(self, identity: Identity, subject: str) -> None:
        self.subscribe(identity, subject)


def connection_end() -> float:
    return 1_800_000_000.0 + 1000


def audited(kinds: tuple[str, ...] = ("access",), **settings: Any) -> Harness:
    return Harness(Ann(), audit=kinds, topics=AUDITED, **settings)


def told(core: Harness) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, name and fields; time and address, which are always the same, are checked here."""
    trail = core.sessions.trail
    assert trail is not None
    taken = trail.take()
    if taken is None:
        return []
    events = [msgspec.json.decode(line) for line in taken.events.splitlines()]
    assert taken.count == len(events)
    assert {(one.pop("time_ms"), one.pop("node")) for one in events} == {(1_800_000_100_000, "a")}
    return [(one.pop("kind"), one.pop("event"), {k: v for k, v in one.items() if k != "address"}) for one in events]


def test_nothing_is_collected_if_nobody_is_told() -> None:
    assert Harness(Ann()).sessions.trail is None


def test_access() -> None:
    core = audited()
    stranger = core.connect()
    core.send(stranger, {"op": "hello", "id": 1, "token": "bob", "client": "x/1"})
    refused = {"identity": "", "what": "connect", "code": 4201, "reason": "who are you?"}
    end = {"identity": "", "code": 4201, "reason": "who are you?"}
    assert told(core) == [("access", "refused", refused), ("access", "disconnected", end)]
    ann = core.connect()
    core.send(ann, {"op": "hello", "id": 1, "token": "ann", "client": "x/1"})
    come = {"identity": "ann", "via": "websocket", "client": "x/1", "token_id": "t1"}
    assert told(core) == [("access", "connected", come)]
    core.go_live(ann, "/t/a")
    core.send(ann, {"op": "subscribe", "id": 3, "subject": "/t/secret"})
    core.send(ann, PUBLISH | {"id": 4})
    core.send(ann, PUBLISH | {"id": 5, "subject": "/t/secret"})
    core.send(ann, {"op": "renew", "id": 6, "token": "ann"})
    core.send(ann, {"op": "renew", "id": 7, "token": "bob"})
    core.send(ann, {"op": "unsubscribe", "id": 8, "sub": 2})
    core.say(link.RevokedTokens([Revocation(float("inf"), 60.0, "t1", None)]))
    no = {"identity": "ann", "code": 4312, "reason": "that is secret", "subject": "/t/secret"}
    assert told(core) == [
        ("access", "subscribed", {"identity": "ann", "subject": "/t/a", "answer": "fresh"}),
        ("access", "refused", {**no, "what": "subscribe"}),
        ("access", "published", {"identity": "ann", "subject": "/t/a"}),
        ("access", "refused", {**no, "what": "publish"}),
        ("access", "renewed", {"identity": "ann", "token_id": "t1"}),
        ("access", "refused", {"identity": "ann", "what": "renew", "code": 4201, "reason": "who are you?"}),
        ("access", "unsubscribed", {"identity": "ann", "subject": "/t/a"}),
        ("access", "revoked", {"identity": "ann", "token_id": "t1"}),
        ("access", "disconnected", {"identity": "ann", "code": 4202, "reason": "the token has been revoked"}),
    ]
    core.sessions.gone(ann)
    assert told(core) == []


def test_what_a_client_calls_itself_is_cut() -> None:
    """It may be as long as a frame: more than Kafka takes."""
    core = audited()
    core.send(core.connect(), {"op": "hello", "id": 1, "token": "ann", "client": "x" * 100_000})
    ((_, name, about),) = told(core)
    assert (name, about["client"]) == ("connected", "x" * trails.CLIENT_CHARACTERS_MAX)


def test_what_is_refused_before_the_authorizer_is_asked() -> None:
    core = audited(publishes_max=0)
    ann = core.connect()
    core.send(ann, {"op": "hello", "id": 1, "token": "ann"})
    core.go_live(ann, "/t/a")
    told(core)
    core.send(ann, {"op": "subscribe", "id": 3, "subject": "/nope/x"})
    core.send(ann, {"op": "subscribe", "id": 3, "subject": "t" * 201})
    core.send(ann, {"op": "subscribe", "id": 3, "subject": "/t/../x"})
    core.send(ann, {"op": "subscribe", "id": 2, "subject": "/t/b"})
    core.send(ann, {"op": "subscribe", "id": 9, "subject": "/t/b", "from": {"last": 10**9}})
    core.send(ann, PUBLISH | {"id": 5, "publisher": "x"})
    core.send(ann, PUBLISH | {"id": 6})
    core.send(ann, {"op": "renew", "id": 6, "token": "ann"})
    for number in range(40, 90):
        core.send(ann, {"op": "subscribe", "id": number, "subject": "/nope/x"})
    core.send(ann, b"{")
    found = [
        (name, about.get("what"), about["code"], about.get("count", 1))
        for _, name, about in told(core)
        if "code" in about
    ]
    assert found == [
        ("refused", "subscribe", codes.NOT_MAPPED, 51),
        ("refused", "subscribe", codes.BAD_SUBJECT, 1),
        ("refused", "subscribe", codes.ID_IN_USE, 1),
        ("refused", "subscribe", codes.BAD_REQUEST, 1),
        ("refused", "frame", codes.BAD_REQUEST, 1),
        ("refused", "publish", codes.TOO_MANY_PUBLISHES, 1),
        ("refused", "frame", codes.BAD_FRAME, 1),
        ("disconnected", None, codes.BAD_FRAME, 1),
    ]
    trail = core.sessions.trail
    assert trail is not None
    for _ in range(3):
        trail.handshake_refused("192.0.2.1", "not a handshake")
    about = {"identity": "", "what": "handshake", "code": 0, "reason": "not a handshake", "count": 3}
    assert told(core) == [("access", "refused", about)]


def test_a_client_that_says_goodbye_and_one_that_is_lost() -> None:
    core = audited()
    first, second = core.connect(), core.connect()
    core.sessions.gone(first, 1000, "done")
    core.sessions.gone(second)
    ends = [(fields["code"], fields["reason"]) for _, _, fields in told(core)]
    assert ends == [(1000, "done"), (1006, "")]


def test_messages_of_the_topics_that_ask_for_it() -> None:
    core = audited(("message",), audit_delivered_each=2)
    ann = core.connect()
    core.send(ann, {"op": "hello", "id": 1, "token": "ann"})
    core.go_live(ann, "/t/a")
    core.go_live(ann, "/quiet/a", 3)
    for number, subject in ((4, "/t/a"), (5, "/quiet/a")):
        core.send(ann, PUBLISH | {"id": number, "subject": subject, "seq": number})
    first, second = (event.pid for event in core.events() if isinstance(event, link.Publish))
    core.say(link.Published(first, "0.x", (0, 6)), link.Published(second, "0.y", (0, 1)))
    core.send(ann, PUBLISH | {"id": 6, "seq": 6})
    (third,) = (event.pid for event in core.events() if isinstance(event, link.Publish))
    core.sessions.gone(ann)
    core.say(link.Refused(third, codes.KAFKA_UNAVAILABLE, "away"))
    attempt = {"identity": "ann", "subject": "/t/a", "publisher": "p" * 16}
    assert told(core) == [
        ("message", "accepted", {**attempt, "seq": 4, "log": "0.x", "at": [0, 6]}),
        ("message", "refused", {**attempt, "seq": 6, "code": codes.KAFKA_UNAVAILABLE, "reason": "away"}),
    ]


def test_delivered_messages_are_sampled() -> None:
    core = audited(("message",), audit_delivered_each=2)
    ann = core.connect()
    core.send(ann, {"op": "hello", "id": 1, "token": "ann"})
    core.go_live(ann, "/t/a")
    core.go_live(ann, "/quiet/a", 3)
    for subject in ("/t/a", "/quiet/a"):
        frames = [
            encode_json(subject, "0.x", Entry((0, seq), None, 5, b'"%s"' % (b"v" * size), None), "json")
            for seq, size in ((6, 1), (7, 1), (8, 300), (9, 70_000))
        ]
        core.say(link.Live({"t": {"0.x": (0, 9)}}, ([subject] * 4, frames), ([], [])))
    found = [(name, fields["at"], fields["count"], fields["clients"][0]["identity"]) for _, name, fields in told(core)]
    assert found == [("delivered", [0, 7], 1, "ann"), ("delivered", [0, 9], 1, "ann")]


def test_gaps_and_why() -> None:
    core = audited(("cache",))
    ann = core.connect()
    core.send(ann, {"op": "hello", "id": 1, "token": "ann"})
    sid = core.subscribe(ann)
    gap = Gap("0.x", (0, 1), (0, 4), "retention")
    core.say(link.Answer(sid, "gap", {"0.x": (0, 5)}, [gap], []))
    core.say(link.LogGap("t", gap))
    shown = {"log": "0.x", "start": [0, 1], "end": [0, 4], "why": "retention"}
    assert told(core) == [
        ("cache", "gap", {"identity": "ann", "subject": "/t/a", **shown}),
        ("cache", "gap", {"topic": "t", **shown}),
    ]


def test_a_name_that_is_no_text_costs_its_own_events_only() -> None:
    core = audited()
    core.sessions.gone(core.connect())
    odd = core.connect()
    odd.identity = Identity("\ud800")
    core.sessions.gone(odd)
    core.sessions.gone(core.connect())
    assert len(told(core)) == 2
    assert core.sessions.trail is not None
    assert core.sessions.trail.dropped == 1


def test_what_finds_no_room_is_counted() -> None:
    core = audited()
    for _ in range(trails.EVENTS_MAX + 3):
        core.sessions.gone(core.connect())
    assert len(told(core)) == trails.EVENTS_MAX
    assert core.sessions.trail is not None
    assert core.sessions.trail.dropped == 3


def test_what_a_node_that_takes_nothing_would_be_told_is_counted_and_let_go() -> None:
    core = audited()
    trail = core.sessions.trail
    assert trail is not None
    trail.handshake_refused("1.2.3.4", "full")
    assert trail.take(trails.WAITING_BYTES_MAX + 1) is None
    assert trail.dropped == 1
    assert trail.take(trails.WAITING_BYTES_MAX) is None
