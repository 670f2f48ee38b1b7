"""The authorizer `webhook`: another service is asked over HTTP, and answers are kept for as long as they say.

    POST <url>   {"ask":"connect","token":…,"client":…,"address":…,"origin":…,"path":…,"query":…,"headers":{},…}
                 {"ask":"subscribe" or "publish","name":…,"data":…,"subject":…}
    200          {"allow":true,"cache_s":60}, of `connect` also "name", "expires_at", "token_id", "issued_at",
                 "data" (any JSON, sent back with each question), "rules" (nothing more is asked of who has them)
                 {"allow":false,"reason":"…","code":4201}

Whatever else comes back, or nothing in time, is a no that the client tries again (4019). What is remembered is answered
in the loop; the rest in threads, so that a slow service delays only those who need it. One that again and again cannot
be reached, or does not answer in time, is left alone for a moment, so that nobody queues for its timeouts. A wrong
answer is no reason for that: it came quickly, and a client can have asked for it (a service that says 401 or 500 to a
bad token), which must not keep the others out.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from hashlib import sha256
from http.client import HTTPException
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.authorizers.later import AskBlocking
from gateway.authorizers.permissions import BadPermission, Permissions, filled
from gateway.authorizers.token_size import check_size
from gateway.link import codes
from gateway.link.hosts import is_loopback
from gateway.link.jwt_options import Rules
from gateway.link.timed_http import TimedHTTPConnection, TimedHTTPSConnection
from whimbrel_server import Authorizer, Connection, Identity, Refusal

ANSWER_BYTES_MAX = 64 * 1024
REMEMBERED_MAX = 10_000
CACHE_S_MAX = 3600.0
FAILURES_MAX = 3
"""Questions without an answer in a row after which the service is left alone for PAUSE_S."""
PAUSE_S = 1.0


class WebhookError(Exception):
    """The service could not be asked, or did not answer as it should; the message says how."""


class _NoAnswer(WebhookError):
    """Nothing came, or no HTTP, or not in time."""


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    timeout_s: Annotated[float, Meta(gt=0, le=30)] = 2.0
    bearer: str = msgspec.field(name="secret", default="")
    """Sent as `Authorization: Bearer …`."""
    allow_http: bool = False


class _Answer(msgspec.Struct):
    allow: bool
    reason: str = "the authorizer refused"
    code: int = codes.REFUSED
    cache_s: Annotated[float, Meta(ge=0)] = 0.0
    name: str = ""
    expires_at: float | None = None
    issued_at: float | None = None
    token_id: str | None = None
    data: Any = None
    rules: Rules | None = None


class WebhookIdentity(Identity):
    """An identity with the data that the service wants back in later questions."""

    __slots__ = ("data", "permissions")

    def __init__(self, answer: _Answer, permissions: Permissions | None) -> None:
        super().__init__(
            answer.name, expires_at=answer.expires_at, issued_at=answer.issued_at, token_id=answer.token_id
        )
        self.data = answer.data
        self.permissions = permissions
        """None: the service is asked."""


class _Remembered:
    """Answers by question, the oldest leave first. Used by several threads.

    Those that hold for no time are not kept, and of a question only its hash: its client chose how long it is.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[bytes, tuple[float, _Answer]] = OrderedDict()

    def get(self, question: bytes) -> _Answer | None:
        key = sha256(question).digest()
        with self._lock:
            until, answer = self._answers.get(key, (0.0, None))
            return answer if time.monotonic() < until else None

    def put(self, question: bytes, answer: _Answer) -> None:
        key = sha256(question).digest()
        with self._lock:
            if answer.cache_s <= 0:
                self._answers.pop(key, None)  # what was said before holds no longer
                return
            self._answers[key] = time.monotonic() + min(answer.cache_s, CACHE_S_MAX), answer
            self._answers.move_to_end(key)
            if len(self._answers) > REMEMBERED_MAX:
                self._answers.popitem(last=False)


class Webhook(Authorizer):
    """Answers what is remembered; for the rest there is `_service`."""

    blocks = False

    def __init__(self, **options: Any) -> None:
        self._remembered = _Remembered()
        self._service = _Service(msgspec.convert(options, _Options, strict=False), self._remembered)

    def connect(self, connection: Connection) -> Identity:
        return _identity(self._recall(_connect(connection)))

    def subscribe(self, identity: Identity, subject: str) -> None:
        self._may("subscribe", identity, subject)

    def publish(self, identity: Identity, subject: str) -> None:
        self._may("publish", identity, subject)

    def _may(self, ask: Literal["subscribe", "publish"], identity: Identity, subject: str) -> None:
        assert isinstance(identity, WebhookIdentity)
        permissions = identity.permissions
        if permissions is None:
            _check(self._recall(_request(ask, identity, subject)))
        elif not (permissions.may_subscribe if ask == "subscribe" else permissions.may_publish)(subject):
            raise Refusal(f"the rules of this client do not allow to {ask} to it")

    def _recall(self, question: bytes) -> _Answer:
        answer = self._remembered.get(question)
        if answer is None:
            raise AskBlocking(self._service)
        return answer


class _Service(Authorizer):
    """Asks the service, and waits."""

    def __init__(self, options: _Options, remembered: _Remembered) -> None:
        url = urlsplit(options.url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"url: expected https://HOST/PATH, not {options.url!r}")
        if url.scheme == "http" and not (options.allow_http or is_loopback(url.hostname)):
            raise ValueError("url: expected https: (http: of another machine only with allow_http = true)")
        self._url = url
        self._options = options
        self._remembered = remembered
        self._local = threading.local()
        self._failures = 0
        self._failed_at = 0.0

    def connect(self, connection: Connection) -> Identity:
        return _identity(self._ask(_connect(connection)))

    def subscribe(self, identity: Identity, subject: str) -> None:
        _check(self._ask(_request("subscribe", identity, subject)))

    def publish(self, identity: Identity, subject: str) -> None:
        _check(self._ask(_request("publish", identity, subject)))

    def _ask(self, question: bytes) -> _Answer:
        answer = self._remembered.get(question)  # somebody else may have asked meanwhile
        if answer is not None:
            return answer
        if self._failures >= FAILURES_MAX and time.monotonic() < self._failed_at + PAUSE_S:
            raise WebhookError("not asked: it has failed just now")
        try:
            answer = self._posted(question)
        except _NoAnswer:
            self._failures += 1
            self._failed_at = time.monotonic()
            raise
        except WebhookError:
            self._failures = 0
            raise
        self._failures = 0
        self._remembered.put(question, answer)
        return answer

    def _posted(self, question: bytes) -> _Answer:
        is_kept = getattr(self._local, "connection", None) is not None
        try:
            status, body = self._post(question)
        except (OSError, HTTPException) as error:
            self._drop()
            if not is_kept or isinstance(error, TimeoutError):
                raise _NoAnswer(f"{type(error).__name__}: {error}") from error
            try:
                status, body = self._post(question)  # the service had closed the connection that was kept
            except (OSError, HTTPException) as again:
                self._drop()
                raise _NoAnswer(f"{type(again).__name__}: {again}") from again
        if status != 200:
            more = ": redirects are not followed" if 300 <= status < 400 else ""
            raise WebhookError(f"it answered with status {status}{more}")
        try:
            return msgspec.json.decode(body, type=_Answer)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise WebhookError(f"its answer is not what is expected: {error}") from error

    def _post(self, question: bytes) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = TimedHTTPSConnection if self._url.scheme == "https" else TimedHTTPConnection
            connection = kind(self._url.netloc, timeout=self._options.timeout_s)
            self._local.connection = connection
        connection.begin()
        headers = {"Content-Type": "application/json"}
        if self._options.bearer:
            headers["Authorization"] = f"Bearer {self._options.bearer}"
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        connection.request("POST", path, body=question, headers=headers)
        with connection.getresponse() as answer:
            body = answer.read(ANSWER_BYTES_MAX + 1)
        if len(body) > ANSWER_BYTES_MAX:
            self._drop()
            raise WebhookError(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
        return answer.status, body

    def _drop(self) -> None:
        connection, self._local.connection = getattr(self._local, "connection", None), None
        if connection is not None:
            connection.close()


def _connect(connection: Connection) -> bytes:
    if connection.token is not None:
        check_size(connection.token)
    return msgspec.json.encode(
        {
            "ask": "connect",
            "token": connection.token,
            "client": connection.client,
            "address": connection.address.rpartition(":")[0],
            "origin": connection.origin,
            "path": connection.path,
            "query": connection.query,
            "headers": dict(connection.headers),
            "cookies": dict(connection.cookies),
            "certificate": connection.certificate,
        }
    )


def _request(ask: Literal["subscribe", "publish"], identity: Identity, subject: str) -> bytes:
    assert isinstance(identity, WebhookIdentity)
    return msgspec.json.encode({"ask": ask, "name": identity.name, "data": identity.data, "subject": subject})


def _check(answer: _Answer) -> None:
    if not answer.allow:
        is_usable = 4200 <= answer.code < 4300 or answer.code == codes.REFUSED
        raise Refusal(answer.reason, answer.code if is_usable else codes.REFUSED)


def _identity(answer: _Answer) -> Identity:
    _check(answer)
    try:
        permissions = None if answer.rules is None else filled(answer.rules, {"name": answer.name})
    except BadPermission as error:
        raise WebhookError(str(error)) from error
    return WebhookIdentity(answer, permissions)
