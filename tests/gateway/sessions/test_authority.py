"""Loading authorizers and asking those that wait."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult, Event

from gateway.authorizers.allow_all import AllowAll
from gateway.link import codes, plugins
from gateway.link import events as link
from gateway.link.plugins import LoadError
from gateway.sessions.authority import Authority
from gateway.sessions.loading import load
from gateway.sessions.session import Decision, Question
from gateway.sockets.websocket import close_payload
from mesh.revocations import Revocation
from tests.gateway.sessions.core import Harness
from tests.support.patience import PATIENCE_S
from whimbrel_server import Authorizer, Connection, Identity, Refusal

HERE = "tests.gateway.sessions.test_authority"


class Waiting(Authorizer):
    """Answers in a thread, once the test lets it."""

    def __init__(self, gates: dict[str, threading.Event] | None = None) -> None:
        self.gates = gates or {}
        self.threads: set[int] = set()

    def connect(self, client: Connection) -> Identity:
        self.threads.add(threading.get_ident())
        return Identity(client.token or "")

    def subscribe(self, identity: Identity, subject: str) -> None:
        self.threads.add(threading.get_ident())
        assert self.gates[subject].wait(PATIENCE_S)


class Broken(Authorizer):
    def __init__(self, **options: Any) -> None:
        raise RuntimeError(f"no {options['url']}")


NOT_A_CLASS = 5


def test_loading() -> None:
    assert isinstance(load("allow_all", {}), AllowAll)
    assert isinstance(load(f"{HERE}:Waiting", {}), Waiting)


class Point:
    def __init__(self, value: object) -> None:
        self.value = value

    def load(self) -> object:
        return self.value


def test_loading_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(group: str, name: str) -> list[Point]:
        return [Point(Waiting)] if (group, name) == ("whimbrel.authorizers", "mine") else []

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    assert isinstance(load("mine", {}), Waiting)
    with pytest.raises(LoadError, match=r"'yours'.*whimbrel\.authorizers"):
        load("yours", {})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nobody", "there is no authorizer 'nobody'"),
        (f"{HERE}:Nobody", "there is no authorizer"),
        (f"{HERE}:NOT_A_CLASS", "not a class derived from"),
        ("no.such.module:X", "ModuleNotFoundError"),
        (f"{HERE}:Broken", "RuntimeError: no http"),
    ],
)
def test_what_cannot_be_loaded_is_named(name: str, why: str) -> None:
    with pytest.raises(LoadError, match=why):
        load(name, {"url": "http"})


def test_one_that_waits_is_asked_in_threads_and_delays_nobody() -> None:
    gates = {"/t/slow": threading.Event(), "/t/quick": threading.Event()}
    authorizer = Waiting(gates)
    harness = Harness(holds=True)
    answered = Event()

    def decided(question: Question, decision: Decision, failure: Exception | None) -> None:
        assert failure is None
        harness.sessions.decided(question, decision)
        answered.set()

    asking = Authority(authorizer, decided, lambda url: None)
    session = harness.connect()
    harness.send(session, {"op": "hello", "id": 1})
    asking.ask(harness.questions.pop())
    assert answered.wait(PATIENCE_S)
    harness.send(session, {"op": "subscribe", "id": 2, "subject": "/t/slow"})
    harness.send(session, {"op": "subscribe", "id": 3, "subject": "/t/quick"})
    for question in harness.questions:
        asking.ask(question)
    answered.clear()
    gates["/t/quick"].set()
    assert answered.wait(PATIENCE_S)
    assert harness.events() == []
    gates["/t/slow"].set()
    with gevent.Timeout(5):
        while len(session.subscriptions) < 2:
            gevent.sleep(0.001)
    assert [event.subject for event in harness.events()] == ["/t/slow", "/t/quick"]  # type: ignore[union-attr]
    assert threading.get_ident() not in authorizer.threads


class Failing(AllowAll):
    def connect(self, client: Connection) -> Identity:
        raise KeyError("oops")


def test_what_a_blocking_one_raises_comes_with_the_decision() -> None:
    decided = AsyncResult()
    asking = Authority(Failing(), lambda *answer: decided.set(answer), lambda url: None)
    harness = Harness(holds=True)
    harness.send(harness.connect(), {"op": "hello", "id": 1})
    asking.ask(harness.questions.pop())
    question, decision, failure = decided.get(timeout=5)
    assert decision.code == 4019
    harness.sessions.decided(question, decision, failure)
    assert harness.sessions.outputs.failures == [("connect", failure)]
    assert harness.sessions.stats.authorizer_failures == 1


def test_what_one_raises_that_is_asked_at_once_is_counted_and_to_be_logged() -> None:
    harness = Harness(Failing())
    harness.send(harness.connect(), {"op": "hello", "id": 1})
    assert [code for _, code, _ in harness.closed] == [4019]
    ((kind, failure),) = harness.sessions.outputs.failures
    assert (kind, str(failure)) == ("connect", "'oops'")
    assert harness.sessions.stats.authorizer_failures == 1


class Odd(AllowAll):
    """Names clients by what no text can have; refuses them in such words if they have a token."""

    def connect(self, connection: Connection) -> Identity:
        if connection.token:
            raise Refusal("no \ud800")
        return Identity("a\ud800")


def test_what_cannot_be_written_harms_nobody_else() -> None:
    core = Harness(Odd(), audit=("access",))
    for token, code in ((None, codes.INTERNAL), ("x", codes.REFUSED)):
        client = core.connect()
        core.send(client, {"op": "hello", "id": 1} | ({"token": token} if token else {}))
        assert core.closed.pop()[1] == code
    assert core.sessions.trail is not None
    audited = core.sessions.trail.take()
    assert audited is not None
    assert b"no ?" in audited.events


class Given(AllowAll):
    """Says what a test wants, of whatever kind: an identity, or a refusal to be raised."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def connect(self, connection: Connection) -> Identity:
        if isinstance(self.answer, Exception):
            raise self.answer
        given: Identity = self.answer
        return given

    def publish(self, identity: Identity, subject: str) -> None:
        raise self.answer


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def said_hello(answer: Any, is_blocking: bool) -> tuple[Harness, tuple[int, str]]:
    """What a client is closed with that came to one that says this."""
    harness = Harness(Given(answer), holds=is_blocking)
    harness.say(link.RevokedTokens([Revocation(float("inf"), 60.0, "t1", None)]))
    client = harness.connect()
    harness.send(client, {"op": "hello", "id": 1})
    if is_blocking:
        decided = AsyncResult()
        Authority(harness.authorizer, lambda *answer: decided.set(answer), lambda url: None).ask(
            harness.questions.pop()
        )
        harness.sessions.decided(*decided.get(timeout=PATIENCE_S))
        harness.sent()
    harness.tick(1.0)
    ((_, code, reason),) = harness.closed
    assert close_payload(code, reason)
    return harness, (code, reason)


@pytest.mark.parametrize("is_blocking", [False, True])
@pytest.mark.parametrize("code", [0, 1, 1000, 3999, 4400, 70000, -1, True, "4201", 4201.0, None, b""], ids=repr)
def test_a_refusal_with_a_code_of_another_kind_is_a_no(code: Any, is_blocking: bool) -> None:
    harness, closed = said_hello(Refusal("no", code), is_blocking)
    assert closed == (codes.REFUSED, "no")
    ((kind, failure),) = harness.sessions.outputs.failures
    assert (kind, str(failure)) == ("connect", f"Refusal with the code {code!r}: not from 4000 to 4399")


@pytest.mark.parametrize("code", [4000, 4201, 4399])
def test_a_refusal_with_a_code_of_the_protocol_is_no_failure(code: int) -> None:
    harness, closed = said_hello(Refusal("no", code), False)
    assert closed == (code, "no")
    assert harness.sessions.outputs.failures == []


TIMES: list[Any] = ["1800000000", datetime(2027, 1, 1, tzinfo=UTC), float("nan"), float("inf"), True, b"1", [], 10**400]


@pytest.mark.parametrize("is_blocking", [False, True])
@pytest.mark.parametrize(
    "identity",
    [Identity("ann", expires_at=time) for time in TIMES]
    + [Identity("ann", issued_at=time, token_id="t1") for time in TIMES]
    + [Identity(b"ann"), Identity(5), Identity(None), Identity("ann", token_id=0)]  # type: ignore[arg-type]
    + [None, "ann"],
)
def test_an_identity_with_values_of_another_kind_is_a_failure(identity: Any, is_blocking: bool) -> None:
    harness, closed = said_hello(identity, is_blocking)
    assert closed == (codes.INTERNAL, "the authorizer failed")
    assert harness.sessions.stats.authorizer_failures == 1


@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_reason_becomes_text_of_a_sane_length(is_blocking: bool) -> None:
    for reason, shown in ((5, "5"), (None, "None"), (KeyError("x"), "'x'"), ("\u00e4" * 10**6, "\u00e4" * 1000)):
        _, closed = said_hello(Refusal(reason), is_blocking)  # type: ignore[arg-type]
        assert closed == (codes.REFUSED, shown)
    _, closed = said_hello(Refusal(Unprintable()), is_blocking)  # type: ignore[arg-type]
    assert closed == (codes.INTERNAL, "the authorizer failed")


def test_what_is_wrong_in_a_refusal_of_a_request_harms_nobody() -> None:
    harness = Harness(Given(Identity("ann")))
    client = harness.open()
    harness.authorizer.answer = Refusal(["no"], "x")  # type: ignore[attr-defined, arg-type]
    publish = {"op": "publish", "id": 2, "subject": "/t/a", "publisher": "p" * 16, "seq": 1, "json": 1}
    (refused,) = harness.send(client, publish)
    assert (refused["code"], refused["reason"]) == (codes.FORBIDDEN, "['no']")
