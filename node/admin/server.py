"""The admin listener: HTTP in the node process itself, so that it answers whatever becomes of the workers.

Not here: who may ask for what (requests.py), the answers about the node (node/status/).
"""

from __future__ import annotations

import logging
import os
import secrets
import socket as system
import stat
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import gevent
import msgspec
from gevent import socket
from gevent.event import AsyncResult
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from gateway.link import events as link
from gateway.link.files import file_response
from gateway.link.listening import Listener, listening
from gateway.link.logs import event, exception
from gateway.link.responses import Response, fresh, text
from mesh.revocations import TooManyRevocations
from mesh.subject import to_key
from mesh.transport.addresses import SocketAddress
from node.admin.requests import AdminRequest, AskNode, PublishThis, RevokeThis, ShowFile, wanted
from node.audit.audit import Auditors
from node.audit.insides import NO_ANSWER
from node.interest import WorkerId
from node.settings import Settings, admin_token
from node.settings.cluster import host_of, port_of

log = logging.getLogger(__name__)

ADMIN: WorkerId = -2
"""Whose publishes and answers are the listener's own: no worker has this number."""
PORT_STEP = 10
"""From the clients' port to the listener's, where nothing is configured."""
WAIT_S = 30.0
"""For a request, and for a client that does not read its answer."""
ANSWER_WAIT_S = 5.0
"""For workers and for Kafka."""
CONFIRM_WAIT_S = 2.0
"""For other nodes to say that they have a revocation."""
CONFIRM_LOOK_S = 0.02
CONNECTIONS_MAX = 64
BODY_BYTES_MAX = 16 << 20
_JSON = "application/json"


class AdminOwner(Protocol):
    """The node, as the listener sees it."""

    def answer(self, what: str) -> link.Reply:
        """What the node says of itself."""

    def is_mapped(self, topic: str) -> bool:
        """Whether there is such a topic or namespace."""

    def tell_workers(self, said: link.FromNode) -> int:
        """Send an event to all connected workers. Returns their number."""

    def publish(self, worker: WorkerId, publish: link.Publish) -> None:
        """As a worker would; the answer comes to the same number."""

    def revoke(self, token_id: str | None, name: str | None, issued_before: float | None) -> None:
        """Revoke tokens, on all nodes."""

    def confirmations(self) -> dict[str, bool]:
        """For every other node, by name: whether it has confirmed all revocations."""


class AdminListener:
    """The listener, and what it waits for."""

    def __init__(self, settings: Settings, clients_port: int, owner: AdminOwner, audit: Auditors | None) -> None:
        """Listen; `start` serves.

        Raises:
            OSError: If that is not possible; the message has the address.
            ValueError: If the token's file cannot be used.
        """
        self._owner = owner
        self._audit = audit
        self._token = admin_token(settings)
        self._clients = f"{'wss' if settings.tls.certificate else 'ws'}://{_shown(settings.node.host)}:{clients_port}"
        self.address = address_of(settings, clients_port)
        """HOST:PORT or unix:PATH."""
        self._names = {"localhost", "" if self._is_unix else host_of(self.address).lower()} - {""}
        listener = _listen_unix(self._path) if self._is_unix else _listen(self.address)
        if not self._is_unix:
            self.address = f"{self.address.rpartition(':')[0]}:{listener.getsockname()[1]}"
        self._server = _Server(listener, self._application)
        self._numbers = count(1)
        self._selecting: dict[int, list[AsyncResult[link.Selected]]] = {}
        self._publishing: dict[int, AsyncResult[link.Published | link.Refused]] = {}
        self._publisher = "admin-" + secrets.token_urlsafe(15)

    @property
    def origins(self) -> list[str]:
        """Of the page, as a browser on this machine or elsewhere has it."""
        if self._is_unix:
            return []
        host, _, port = self.address.rpartition(":")
        names = ["127.0.0.1", "localhost"] if host in ("127.0.0.1", "0.0.0.0", "localhost") else [host]
        return [f"http://{name}:{port}" for name in names]

    def start(self) -> None:
        self._server.start()
        event(log, "admin_listens", address=self.address)

    def close(self) -> None:
        self._server.stop(timeout=0)
        if self._is_unix:
            self._path.unlink(missing_ok=True)

    # From the node.

    def selected(self, said: link.Selected) -> None:
        """A worker has answered."""
        if waiting := self._selecting.get(said.number):
            waiting.pop().set(said)

    def told(self, said: link.FromNode) -> None:
        """What a worker would be told of its publishes."""
        if isinstance(said, link.Published | link.Refused) and (result := self._publishing.pop(said.pid, None)):
            result.set(said)

    # Requests.

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = self._answer(environ)
        except Exception:
            exception(log, "admin_failed")
            response = text("500 Internal Server Error", "a fault of the server's")
        headers = [*response.headers, ("X-Content-Type-Options", "nosniff")]
        if not response.status.startswith("304"):
            headers.append(("Content-Length", str(len(response.body))))
        start_response(response.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _answer(self, environ: WSGIEnvironment) -> Response:
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        query, path = (
            environ["QUERY_STRING"],
            environ["PATH_INFO"].encode("latin-1", "replace").decode(errors="replace"),
        )
        found = wanted(AdminRequest(environ["REQUEST_METHOD"], path, query, headers), self._token, self._names)
        match found:
            case AskNode(what):
                reply = self._owner.answer(what)
                return fresh(reply.status, reply.content_type, reply.body)
            case ShowFile("/") if not query:
                where = f"/?server={quote(self._clients, safe=':/')}"
                return text("302 Found", "the page", ("Location", where))
            case ShowFile(path):
                return file_response(path, headers.get("if-none-match", ""), ())
            case PublishThis():
                return self._publish(found, environ)
            case RevokeThis(token_id, name, issued_before):
                return self._revoke(token_id, name, issued_before)
            case link.Select():
                return self._select(found)
            case _:
                return found

    def _select(self, select: link.Select) -> Response:
        select.number = next(self._numbers)
        waiting: list[AsyncResult[link.Selected]] = []
        self._selecting[select.number] = waiting
        waiting += [AsyncResult() for _ in range(self._owner.tell_workers(select))]
        asked = [*waiting]
        try:
            gevent.wait(asked, timeout=ANSWER_WAIT_S)
        finally:
            del self._selecting[select.number]
        answers = [one.value for one in asked if one.ready()]
        total = sum(answer.count for answer in answers)
        body: dict[str, object] = {"count": total, "workers_silent": len(asked) - len(answers)}
        if select.close is not None and self._audit is not None:
            self._audit.operator_disconnected(select, total)
        if select.close is None:
            body["connections"] = [row for answer in answers for row in answer.rows][: select.rows_max]
        return fresh(200, _JSON, msgspec.json.encode(body))

    def _revoke(self, token_id: str | None, name: str | None, issued_before: float | None) -> Response:
        try:
            self._owner.revoke(token_id, name, issued_before)
        except TooManyRevocations as error:
            return text("507 Insufficient Storage", str(error))
        except ValueError as error:
            return text("400 Bad Request", str(error))
        until = time.monotonic() + CONFIRM_WAIT_S
        while not all((found := self._owner.confirmations()).values()) and time.monotonic() < until:
            gevent.sleep(CONFIRM_LOOK_S)
        body = {
            "nodes": 1 + len(found),
            "confirmed": sorted(name for name, is_held in found.items() if is_held),
            "unconfirmed": sorted(name for name, is_held in found.items() if not is_held),
        }
        return fresh(200, _JSON, msgspec.json.encode(body))

    def _publish(self, asked: PublishThis, environ: WSGIEnvironment) -> Response:
        try:
            value = environ["wsgi.input"].read(BODY_BYTES_MAX + 1)
        except OSError as error:  # it ended too soon, or is not in the chunks that it says
            return text("400 Bad Request", f"the body cannot be read: {error}", ("Connection", "close"))
        if len(value) > BODY_BYTES_MAX:
            return text("413 Content Too Large", f"a value has at most {BODY_BYTES_MAX} bytes")
        topic = to_key(asked.subject)[0]
        if not self._owner.is_mapped(topic):
            return text("404 Not Found", f"this node does not carry the topic {topic}")
        number = next(self._numbers)
        result: AsyncResult[link.Published | link.Refused] = AsyncResult()
        self._publishing[number] = result
        self._owner.publish(
            ADMIN,
            link.Publish(number, asked.subject, self._publisher, number, None if asked.is_tombstone else value, []),
        )
        outcome = None
        try:
            outcome = result.get(timeout=ANSWER_WAIT_S)
        except gevent.Timeout:
            self._publishing.pop(number, None)
        if self._audit is not None:
            self._audit.operator_published(asked.subject, outcome)
        if outcome is None:
            return text("504 Gateway Timeout", NO_ANSWER)
        if isinstance(outcome, link.Refused):
            body: dict[str, object] = {"code": outcome.code, "reason": outcome.reason}
            return fresh(503 if outcome.code < 4300 else 400, _JSON, msgspec.json.encode(body))
        return fresh(200, _JSON, msgspec.json.encode({"log": outcome.log, "at": outcome.at}))

    @property
    def _is_unix(self) -> bool:
        return self.address.startswith("unix:")

    @property
    def _path(self) -> Path:
        return Path(self.address.removeprefix("unix:"))


def address_of(settings: Settings, clients_port: int) -> str:
    """Where the listener is, HOST:PORT or unix:PATH."""
    if settings.admin.listen:
        return settings.admin.listen
    port = clients_port + PORT_STEP
    return f"127.0.0.1:{port if port <= 65535 else clients_port - PORT_STEP}" if settings.node.port else "127.0.0.1:0"


class _Stream(Protocol):
    """What is used of a client's socket."""

    def settimeout(self, wait_s: float | None, /) -> None:
        """How long each call may wait."""

    def shutdown(self, how: int, /) -> None:
        """Hang up."""


class _Handler(WSGIHandler):  # type: ignore[misc]
    """Says nothing of requests, right or wrong, in the log."""

    def log_request(self) -> None:
        pass

    def log_error(self, msg: str, *args: object) -> None:
        pass

    def run_application(self) -> None:
        """From here on the request is answered; new connections no longer push it out."""
        self.server.has_come(self.socket)
        super().run_application()
        self.server.waits_for(self.socket)

    def _handle_client_error(self, error: Exception) -> None:
        if not isinstance(error, (ValueError, OSError)):
            error = ValueError(str(error))
        super()._handle_client_error(error)

    def handle_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, OSError):
            return  # the client is gone, or does not read
        event(log, "admin_failed", logging.ERROR, error=f"{kind.__name__}: {error}")
        self._send_error_response_if_possible(500)


class _Server(WSGIServer):  # type: ignore[misc]
    handler_class = _Handler

    def __init__(self, listener: Listener, application: WSGIApplication) -> None:
        super().__init__(listener, application, spawn=Pool(CONNECTIONS_MAX), log=None, error_log=None)
        self._waiting: dict[_Stream, None] = {}
        """Sockets on which no whole request has come yet, oldest first."""

    def waits_for(self, sock: _Stream) -> None:
        """A request is to come there."""
        self._waiting[sock] = None

    def has_come(self, sock: _Stream) -> None:
        """A whole request has come, or none will."""
        self._waiting.pop(sock, None)

    def update_environ(self) -> None:
        """Nothing: theirs asks the name service."""
        self.environ.update(SERVER_NAME="", SERVER_PORT="")

    def handle(self, sock: _Stream, address: SocketAddress) -> None:
        sock.settimeout(WAIT_S)
        if self.pool.full() and self._waiting:
            self._push_out()
        self.waits_for(sock)
        try:
            super().handle(sock, address)
        except OSError:
            pass
        finally:
            self.has_come(sock)

    def _push_out(self) -> None:
        """Hang up on the oldest connection without a request: else a few silent ones would keep all others out."""
        oldest = next(iter(self._waiting))
        self.has_come(oldest)
        try:
            oldest.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _listen(address: str) -> Listener:
    host, port = host_of(address), port_of(address)
    try:
        family, _, _, _, where = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        return listening(family, where, CONNECTIONS_MAX)
    except OSError as error:
        why = f"cannot listen on {address}: {error.strerror} (another with --admin-listen HOST:PORT)"
        raise OSError(why) from error


def _listen_unix(path: Path) -> Listener:
    """A socket that only this user reaches; one that a killed node has left is replaced."""
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            with system.socket(system.AF_UNIX) as probe:
                if probe.connect_ex(str(path)):
                    path.unlink()
        unbound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            unbound.bind(str(path))
        finally:
            os.umask(mask)
        unbound.listen(CONNECTIONS_MAX)
        unbound.setblocking(False)
        listener: Listener = unbound
        return listener
    except OSError as error:
        raise OSError(f"cannot listen on unix:{path}: {error.strerror}") from error


def _shown(host: str) -> str:
    """The clients' host as a browser on this machine can use it."""
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
