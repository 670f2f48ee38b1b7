"""The authorizer `webhook`, against a service that answers as a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import gevent
import pytest

from gateway.authorizers import webhook
from gateway.authorizers.token_size import TOKEN_BYTES_MAX
from gateway.link import events as link
from gateway.link.plugins import LoadError
from gateway.sessions.authority import Authority
from gateway.sessions.loading import load
from gateway.sessions.session import Decision, Question
from tests.gateway.sessions.core import Harness
from tests.support.patience import PATIENCE_S
from tests.support.raw_http import DRIPS, RawServer, endless, whole
from tests.support.silent_resolver import SILENT, silent_resolver


class Service:
    """Its questions, and `answer`, which makes the answer to one: JSON, bytes, or a status."""

    def __init__(self) -> None:
        self.questions: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda question: {"allow": True, "name": "alice"}
        self.release = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.questions.append(question)
                service.headers.append(self.headers)
                answer = service.answer(question)
                status = answer if isinstance(answer, int) else 200
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/may?x=1"


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    yield one
    one.release.set()
    one.server.shutdown()
    one.server.server_close()


class Asked:
    """Sessions with a webhook, and what asks it in threads."""

    def __init__(self, service: Service | RawServer, **options: Any) -> None:
        self.harness = Harness(load("webhook", {"url": service.url, **options}), publishes_max=100)
        self.authority = Authority(self.harness.authorizer, self._decided, lambda url: None)
        self.failures: list[Exception] = []
        self.answered = 0

    def _decided(self, question: Question, decision: Decision, failure: Exception | None) -> None:
        self.failures += [failure] if failure is not None else []
        self.harness.sessions.decided(question, decision, failure)
        self.answered += 1

    def settle(self) -> int:
        """Have everything answered that waits; how much had to be waited for."""
        wanted = self.answered + len(self.harness.questions)
        asked = len(self.harness.questions)
        while self.harness.questions:
            self.authority.ask(self.harness.questions.pop(0))
        with gevent.Timeout(PATIENCE_S):
            while self.answered < wanted:
                gevent.sleep(0.001)
        return asked

    def open(self, token: str = "t") -> Any:
        session = self.harness.connect()
        self.harness.send(session, {"op": "hello", "id": 1, "token": token})
        self.settle()
        self.harness.sent()
        return session

    def send(self, session: Any, op: str, subject: str, id: int) -> tuple[int, dict[str, Any] | None]:
        """How much had to be waited for, and the error, if any."""
        more = {"publisher": "0123456789abcdef", "seq": id, "json": 1} if op == "publish" else {}
        found = self.harness.send(session, {"op": op, "id": id, "subject": subject, **more})
        waited = self.settle()
        found += self.harness.sent().get(session, [])
        return waited, found[0] if found else None


def test_what_is_asked_and_what_becomes_of_the_answers(service: Service) -> None:
    asked = Asked(service, secret="hush")
    service.answer = lambda question: (
        {"allow": True, "name": "alice", "data": [7]}
        if question["ask"] == "connect"
        else {"allow": question["subject"] != "/t/no", "reason": "not you", "code": 4303}
    )
    session = asked.open("t1")
    assert session.identity.name == "alice"
    assert asked.send(session, "subscribe", "/t/a", 2) == (1, None)
    assert asked.send(session, "publish", "/t/b", 3) == (1, None)
    _, refused = asked.send(session, "publish", "/t/no", 4)
    assert refused is not None
    assert (refused["code"], refused["reason"]) == (4312, "not you")
    assert [type(event) for event in asked.harness.events()] == [link.Subscribe, link.Publish]
    assert [one["ask"] for one in service.questions] == ["connect", "subscribe", "publish", "publish"]
    assert service.questions[0]["token"] == "t1"
    assert service.questions[0]["address"] == "1.2.3.4"
    assert service.questions[1] == {"ask": "subscribe", "name": "alice", "data": [7], "subject": "/t/a"}
    assert {headers["Authorization"] for headers in service.headers} == {"Bearer hush"}


def test_answers_are_kept_for_as_long_as_they_say(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr("gateway.authorizers.webhook.time.monotonic", lambda: now)
    asked = Asked(service)
    service.answer = lambda question: {"allow": True, "name": "alice", "cache_s": 60}
    session = asked.open()
    other = asked.open()
    assert [one["ask"] for one in service.questions] == ["connect"]
    for one, waited in ((session, 1), (session, 0), (other, 0)):
        assert asked.send(one, "publish", "/t/a", 2) == (waited, None)
    now += 61
    assert asked.send(session, "publish", "/t/a", 3) == (1, None)
    service.answer = lambda question: {"allow": True, "name": "alice"}
    assert asked.send(session, "publish", "/t/b", 4) == (1, None)
    assert asked.send(session, "publish", "/t/b", 5) == (1, None)


def remembered(asked: Asked) -> Any:
    """What a worker keeps, by key."""
    assert isinstance(asked.harness.authorizer, webhook.Webhook)
    return asked.harness.authorizer._remembered._answers


def test_what_holds_for_no_time_is_not_kept_nor_are_questions(service: Service) -> None:
    """Else anybody could fill the memory of a worker, with tokens that are refused."""
    asked = Asked(service)
    for answer in ({"allow": True, "name": "alice"}, {"allow": False}, {"allow": False, "cache_s": 0}):
        service.answer = lambda question, answer=answer: answer  # type: ignore[misc]
        asked.open("x" * TOKEN_BYTES_MAX)
    assert len(service.questions) == 3
    assert len(remembered(asked)) == 0
    service.answer = lambda question: {"allow": True, "name": "alice", "cache_s": 60}
    asked.open("x" * TOKEN_BYTES_MAX)
    assert [len(key) for key in remembered(asked)] == [32]


def test_an_answer_that_holds_for_no_time_ends_what_was_said_before() -> None:
    kept = webhook._Remembered()
    kept.put(b"may she?", webhook._Answer(allow=True, cache_s=60))
    assert kept.get(b"may she?") is not None
    kept.put(b"may she?", webhook._Answer(allow=False))
    assert kept.get(b"may she?") is None


@pytest.mark.parametrize("letter", ["x", "\u00e4"])
def test_a_token_that_is_too_long_is_refused_without_asking(letter: str, service: Service) -> None:
    asked = Asked(service)
    longest = letter * (TOKEN_BYTES_MAX // len(letter.encode()))
    asked.open(longest)
    assert asked.harness.closed == []
    asked.open(longest + "x")
    assert asked.harness.closed.pop()[1:] == (4201, f"token: longer than {TOKEN_BYTES_MAX} bytes")
    assert len(service.questions) == 1


def test_with_rules_nothing_more_is_asked(service: Service) -> None:
    asked = Asked(service)
    service.answer = lambda question: {"allow": True, "name": "al", "rules": {"subscribe": ["/t/{name}/*"]}}
    session = asked.open()
    assert asked.send(session, "subscribe", "/t/al/*", 2) == (0, None)
    _, refused = asked.send(session, "subscribe", "/t/*", 3)
    assert refused is not None
    assert refused["code"] == 4312
    assert len(service.questions) == 1


def refusing(code: int, question: dict[str, Any]) -> dict[str, Any]:
    return {"allow": False, "reason": "no", "code": code}


def test_a_client_is_refused_with_the_code_that_the_service_says(service: Service) -> None:
    asked = Asked(service)
    for code, wanted in ((4200, 4200), (4201, 4201), (4303, 4303), (4001, 4303), (1000, 4303)):
        service.answer = partial(refusing, code)
        asked.open()
        assert asked.harness.closed.pop()[1:] == (wanted, "no")


@pytest.mark.parametrize(
    "answer",
    [500, 404, 302, b"", b"{", b"[]", b"{}", b'{"allow":"yes"}', b"\xff",
     b'{"allow":true,"x":"' + b"y" * 70_000 + b'"}',
     b"[" * 50_000, b'{"allow":true,"cache_s":-1}', b'{"allow":true,"rules":{"subscribe":["x"]}}'],
    ids=lambda answer: repr(answer)[:20],
)  # fmt: skip
def test_what_is_not_an_answer_is_a_no_that_is_tried_again(answer: Any, service: Service) -> None:
    asked = Asked(service)
    service.answer = lambda question: answer
    asked.open()
    assert asked.harness.closed.pop()[1:] == (4019, "the authorizer failed")
    assert isinstance(asked.failures[0], webhook.WebhookError)


@pytest.mark.parametrize("what", DRIPS)
def test_an_answer_that_drips_is_none_in_time(what: str) -> None:
    """A thread is free again, however the service goes on."""
    with RawServer(lambda path: DRIPS[what](), is_slow=True) as dripping:
        asked = Asked(dripping, timeout_s=0.5)
        asked.open()
        assert asked.harness.closed.pop()[1:] == (4019, "the authorizer failed")
        assert str(asked.failures[0]) == "TimeoutError: no whole answer within 0.5 s"
        assert len(dripping.paths) == 1


def test_a_name_server_that_does_not_answer_is_waited_for_as_long_as_for_an_answer(service: Service) -> None:
    with silent_resolver() as asked_for:
        asked = Asked(service, url=f"http://{SILENT}:{service.server.server_port}/", allow_http=True, timeout_s=0.2)
        asked.open()
        assert asked.harness.closed.pop()[1] == 4019
        assert asked_for.hosts == [SILENT]
        assert "not found within 0.2 s" in str(asked.failures)
        asked_for.answers.set()
        asked.open("another")
        assert asked.harness.closed == []
        assert service.questions


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with RawServer(lambda path: endless(b"x" * 65536)) as server:
        asked = Asked(server)
        asked.open()
        assert asked.harness.closed.pop()[1:] == (4019, "the authorizer failed")
        assert "longer than 65536 bytes" in str(asked.failures[0])


def test_a_redirect_is_not_followed() -> None:
    """Else whoever answers could have the bearer and the clients' tokens sent elsewhere."""
    yes = b'{"allow":true,"name":"alice"}'
    with RawServer(lambda path: whole(b"", "307 Elsewhere", "Location: /yes") if path == "/" else whole(yes)) as server:
        asked = Asked(server)
        asked.open()
        assert asked.harness.closed.pop()[1:] == (4019, "the authorizer failed")
        assert "status 307: redirects are not followed" in str(asked.failures[0])
        assert server.paths == ["/"]


def test_a_service_that_is_away_or_hangs_fails_closed_and_delays_nobody_who_needs_it_not(service: Service) -> None:
    asked = Asked(service, timeout_s="0.2")  # as a flag gives it
    service.answer = lambda question: {"allow": True, "name": "alice", "cache_s": 60}
    session = asked.open()
    asked.send(session, "publish", "/t/a", 2)

    def hang(question: dict[str, Any]) -> Any:
        service.release.wait(PATIENCE_S)
        return {"allow": True}

    service.answer = hang
    clients = [asked.harness.connect() for _ in range(40)]
    for one in clients:
        asked.harness.send(one, {"op": "hello", "id": 1, "token": f"other {id(one)}"})
    waiting, asked.harness.questions = asked.harness.questions, []
    for question in waiting:
        asked.authority.ask(question)
    publish = {"op": "publish", "id": 3, "subject": "/t/a", "publisher": "0123456789abcdef", "seq": 9, "json": 1}
    assert asked.harness.send(session, publish) == []
    assert len([event for event in asked.harness.events() if isinstance(event, link.Publish)]) == 2
    with gevent.Timeout(PATIENCE_S):
        while asked.answered < 2 + 40:
            gevent.sleep(0.001)
    asked.harness.sent()
    assert [code for _, code, _ in asked.harness.closed] == [4019] * 40
    asked_of_it = [one for one in service.questions if str(one.get("token")).startswith("other")]
    assert len(asked_of_it) <= 16 + webhook.FAILURES_MAX  # after some failures it is left alone


def test_a_connection_that_the_service_closed_is_opened_again(service: Service) -> None:
    asked = Asked(service)
    asked.open()
    service.server.RequestHandlerClass.protocol_version = "HTTP/1.0"  # type: ignore[attr-defined]
    for number in range(5):
        assert asked.open(f"t{number}").identity.name == "alice"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "url"),
        ({"url": "ftp://x"}, "expected https"),
        ({"url": "http://id.example/x"}, "allow_http"),
        ({"url": "https://x/", "timeout_s": 0}, "timeout_s"),
        ({"url": "https://x/", "timeout": 1}, "timeout"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        load("webhook", options)


@pytest.mark.parametrize("wrong", [500, 401, b"<html>", {"allow": "yes"}], ids=str)
def test_a_client_whose_questions_are_answered_wrongly_keeps_nobody_else_out(service: Service, wrong: Any) -> None:
    service.answer = lambda question: wrong if question["token"] == "bad" else {"allow": True, "name": "alice"}
    asked = Asked(service)
    for _ in range(2 * webhook.FAILURES_MAX):
        asked.open("bad")
    assert len(service.questions) == 2 * webhook.FAILURES_MAX
    session = asked.open("good")
    assert session not in {closed for closed, _, _ in asked.harness.closed}
