"""HTTP and the upgrade to WebSocket, on one port: gevent's pywsgi with gevent-websocket's handler.

What differs from theirs: the head of a request is read in one go, bounded in size and time, and parsed here (their
parser, meant for mail, takes a third of a handshake); nobody may send a body; after the 101 the socket leaves pywsgi;
and where a whole handshake comes at once, as nearly all do, there is never a greenlet.

Not here: what is served (site.py), a connection before its first bytes (arrival.py) and after the handshake
(sockets/client_socket.py).
"""

from __future__ import annotations

import binascii
import errno
import hashlib
import logging
import math
import re
import time
from base64 import b64encode
from typing import Protocol
from urllib.parse import unquote
from wsgiref.types import WSGIApplication, WSGIEnvironment

from gevent import socket, spawn_raw
from gevent.pywsgi import Input, WSGIServer
from geventwebsocket.handler import WebSocketHandler

from gateway.http.arrival import Arrival
from gateway.http.listeners import Listeners, accepted
from gateway.http.origins import Origins
from gateway.http.proxies import PREAMBLE_BYTES_MAX, Endpoint, Proxies, preamble
from gateway.http.stream import ClosableStream, Incoming, Stream
from gateway.http.tls_socket import TlsSocket
from gateway.http.wanted import Wanted
from gateway.link import events as link
from gateway.link.certificates import Certificates
from gateway.link.listening import Listener
from gateway.link.logs import event, exception
from gateway.link.rates import retry_text
from gateway.sessions.stats import WorkerStats
from gateway.sockets.tls import TlsStream
from mesh.loop import Loop, Watcher
from mesh.transport.addresses import SocketAddress
from whimbrel_server import Connection

log = logging.getLogger(__name__)

WEBSOCKET_PATH = "/v1/ws"
ENCODINGS = {"whimbrel.v1.json": link.JSON, "whimbrel.v1.msgpack": link.MSGPACK}
HEAD_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
HEAD_WAIT_S = 10.0
"""For a whole request line and headers, from the first byte or from the end of the last request."""
RESPONSE_WAIT_S = 30.0
"""For a client that does not read its response."""
LOOK_S = 1.0
"""How often those that take longer are looked for."""
HTTP_MAX = 2_000
"""Requests and handshakes under way at a time, besides established WebSockets. More push out the oldest."""
ACCEPTS = 32
"""In one pass of the loop: of many who connect at once each costs, and those who are there have their turn too.
What a pass costs is shared: with 8, a client that connected took an eighth more of node and worker."""
ACCEPT_PAUSE_S = 0.1
"""After an accept that failed because there are no descriptors or no memory: until others are given back."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_TLS_HANDSHAKE = b"\x16\x03"
"""How a client that speaks TLS begins: a record of a handshake, and its version (RFC 8446 section 5.1)."""
_FIELD = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)(?:\r\n|\Z)", re.MULTILINE)
_VERSIONS = ("HTTP/1.1", "HTTP/1.0")
_SWITCHING = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: %s\r\n%s\r\n"
)


class UpgradeOwner(Protocol):
    """Takes the sockets that have become WebSockets."""

    @property
    def is_full(self) -> bool:
        """Whether no more connections are taken."""

    def refused_s(self, host: str) -> float:
        """0 if this address may open another connection; else after how many seconds it may."""

    def handshake_refused(self, host: str, reason: str) -> None:
        """A connection from this address was refused."""

    def upgraded(
        self, fd: int, encoding: int, client: Connection, data: bytes, tls: TlsStream | None, reader: Watcher | None
    ) -> None:
        """A handshake is done: take the socket, its TLS and bytes that came behind it, deciphered.

        Args:
            reader: The loop's watcher that has read the socket so far, to be gone on with; None if there is none.
        """


class HttpError(ValueError):
    """A request that this server does not accept. `args`: the status line, and the reason."""


def listen(host: str, port: int) -> Listeners:
    """Listen at an address that other workers may share.

    Raises:
        OSError: If the address cannot be used; the message has it.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return Listeners(family, address)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error


class Head:
    """A request's line and headers, read at once; also the `rfile` that pywsgi wants."""

    __slots__ = ("_bytes", "_sock", "closed")

    def __init__(self, sock: Incoming, data: bytes = b"") -> None:
        self._sock = sock
        self._bytes = data
        self.closed = False

    def read_head(self) -> str | None:
        """The next head, without the empty line at its end; None when the client has ended, or takes too long.

        Raises:
            HttpError: If it is too long.
        """
        data, until, searched = self._bytes, time.monotonic() + HEAD_WAIT_S, 0
        while True:
            end = data.find(b"\r\n\r\n", searched)
            if end >= 0:
                break
            if data.startswith(_TLS_HANDSHAKE):
                raise HttpError("400 Bad Request", "this port does not speak TLS: use ws:// or http://")
            if len(data) > HEAD_BYTES_MAX + 3:
                raise HttpError("431 Request Header Fields Too Large", f"more than {HEAD_BYTES_MAX} bytes")
            searched = max(len(data) - 3, 0)
            left_s = until - time.monotonic()
            if left_s <= 0:
                return None
            self._sock.settimeout(left_s)
            more = self._sock.recv(8192)
            if not more:
                return None
            data += more
        self._sock.settimeout(RESPONSE_WAIT_S)
        if end > HEAD_BYTES_MAX:
            raise HttpError("431 Request Header Fields Too Large", f"more than {HEAD_BYTES_MAX} bytes")
        self._bytes = data[end + 4 :]
        return data[:end].decode("latin-1")

    def take_rest(self) -> bytes:
        """The bytes that follow the head."""
        rest, self._bytes = self._bytes, b""
        return rest

    def read(self, size: int = 0) -> bytes:
        """Nothing: no request here has a body."""
        return b""

    readline = read


class Handler(WebSocketHandler):  # type: ignore[misc]
    """One HTTP connection; becomes a WebSocket and leaves, or answers requests one after another."""

    SUPPORTED_VERSIONS = ("13",)

    def __init__(self, sock: Stream, address: SocketAddress, server: Server, data: bytes) -> None:
        self.rfile = Head(sock, data)
        super().__init__(sock, address, server, rfile=self.rfile)
        self.server = server
        self.socket: Stream | None = sock
        self.client_address = address
        self._head = self._above = self._path = self._query = self._answer = ""
        self._fields: dict[str, str] = {}
        self._has_body = False

    # Reading a request: pywsgi calls these in this order.

    def read_requestline(self) -> str:
        try:
            head = self.rfile.read_head()
        except HttpError as bad:
            self._refuse(bad)
            return ""
        if head is None:
            return ""
        line, _, self._head = head.partition("\r\n")
        return line

    def read_request(self, raw_requestline: str) -> bool:
        words = raw_requestline.split(" ")
        if len(words) != 3 or not words[1].startswith("/"):
            raise HttpError("400 Bad Request", "the first line is not `METHOD /path HTTP/1.1`")
        self.command, self.path, self.request_version = words
        if self.request_version not in _VERSIONS:
            raise HttpError("505 HTTP Version Not Supported", "this is HTTP/1.1")
        path, _, self._query = self.path.partition("?")
        self._path = unquote(path, errors="replace") if "%" in path else path
        above = self.server.path
        self._above = above if above and (self._path + "/").startswith(above + "/") else ""
        self._path = self._path.removeprefix(self._above)
        found = _FIELD.findall(self._head)
        if len(found) > HEADERS_MAX:
            raise HttpError("431 Request Header Fields Too Large", f"more than {HEADERS_MAX} headers")
        if self._head and len(found) != self._head.count("\n") + 1:
            raise HttpError("400 Bad Request", "a header is not `Name: value`")
        fields: dict[str, str] = {}
        self._fields = fields
        for name, value in found:
            name = name.lower()
            fields[name] = f"{fields[name]},{value.strip()}" if name in fields else value.strip()
        connection = fields.get("connection", "").lower()
        self._has_body = "transfer-encoding" in fields or fields.get("content-length", "0").strip("0") != ""
        self.close_connection = bool(
            self._has_body
            or "close" in connection
            or (self.request_version == "HTTP/1.0" and "keep-alive" not in connection)
        )
        return True

    def get_environ(self) -> WSGIEnvironment:
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": self._above,
            "PATH_INFO": self._path,
            "QUERY_STRING": self._query,
        }
        for name, value in self._fields.items():
            environ["HTTP_" + name.replace("-", "_").upper()] = value
        self.wsgi_input = Input(self.rfile, 0)
        return environ

    def _handle_client_error(self, error: Exception) -> None:
        if not isinstance(error, HttpError):
            exception(log, "http_failed")
            error = HttpError("500 Internal Server Error", "a fault of the server's")
        self._refuse(error)

    def _refuse(self, bad: HttpError) -> None:
        """Answer what is not understood, and hang up."""
        status, why = bad.args
        self.server.stats.bad_frames += 1
        self.server.owner.handshake_refused(self.client_address[0], why)
        body = f"{why}\n".encode()
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            self._stream.sendall(head.encode() + body)
        except OSError:
            pass

    # The upgrade.

    def upgrade_at_once(self) -> bool:
        """Answer a handshake, whose head is here; nothing waits. False: it is something else, and nothing was done."""
        try:
            self.read_request(self.read_requestline())
        except HttpError:
            return False
        if not self._is_handshake():
            return False
        self.environ: WSGIEnvironment = {}  # what pywsgi and gevent-websocket ask it has been looked at
        try:
            self.result = self.upgrade_connection()
            if self.result is None:
                self.run_websocket()
            else:
                self.process_result()
        except OSError:
            pass  # the client has gone
        except Exception as error:
            self._handle_client_error(error)
        finally:
            self.log_request()
        return True

    def _is_handshake(self) -> bool:
        fields = self._fields
        return (
            self._path == WEBSOCKET_PATH
            and "sec-websocket-version" in fields
            and fields.get("upgrade", "").lower() == "websocket"
            and "upgrade" in fields.get("connection", "").lower()
            and self.command == "GET"
            and self.request_version == "HTTP/1.1"
        )

    # gevent-websocket calls these.

    def upgrade_websocket(self) -> list[bytes] | None:
        refusal: list[bytes] | None = super().upgrade_websocket() if self._is_handshake() else None
        return refusal

    def upgrade_connection(self) -> list[bytes] | None:
        fields = self._fields
        server = self.server
        key = fields.get("sec-websocket-key", "")
        if fields["sec-websocket-version"] != "13":
            return self._no("426 Upgrade Required", "this is WebSocket version 13", ("Sec-WebSocket-Version", "13"))
        if not _is_key(key):
            return self._no("400 Bad Request", "Sec-WebSocket-Key is not 16 bytes in base64")
        if self._has_body:
            return self._no("400 Bad Request", "a handshake has no body")
        origin, host = fields.get("origin"), fields.get("host", "")
        if not server.origins.may_connect(origin, host):
            server.stats.refused += 1
            return self._no("403 Forbidden", f"the origin {origin!r} is neither a node's own nor one of its `origins`")
        offered = [one.strip() for one in fields.get("sec-websocket-protocol", "").split(",") if one.strip()]
        chosen = next((one for one in offered if one in ENCODINGS), None)
        if offered and chosen is None:
            return self._no("400 Bad Request", f"the sub-protocols here are {', '.join(ENCODINGS)}")
        if wait_s := server.owner.refused_s(self._client()[0]):
            server.stats.limited_connects += 1
            why = retry_text(wait_s, "too many connections from this address")
            return self._no("429 Too Many Requests", why, ("Retry-After", str(int(wait_s) + 1)))
        if server.owner.is_full:
            server.stats.refused += 1
            return self._no("503 Service Unavailable", "no more connections here, try another server")
        agreed = "" if chosen is None else f"Sec-WebSocket-Protocol: {chosen}\r\n"
        self._answer = _SWITCHING % (_accept(key, self.GUID), agreed)
        self.encoding = link.JSON if chosen is None else ENCODINGS[chosen]
        self.websocket = None  # gevent-websocket takes a handler that has one for upgraded
        return None

    def run_websocket(self) -> None:
        """Send the 101 response, and hand the socket over to the owner."""
        fields, wanted, sock = self._fields, self.server.wanted, self._stream
        sock.sendall(self._answer.encode())
        host, port = self._client()
        tls = sock.stream if isinstance(sock, TlsSocket) else None
        client = Connection(
            f"{host}:{port}",
            via="websocket" if tls is None else "websocket+tls",
            certificate=None if tls is None else tls.certificate,
            path=self._path,
            query=self._query,
            host=fields.get("host", ""),
            origin=fields.get("origin"),
            headers=wanted.headers_of(fields),
            cookies=wanted.cookies_of(fields),
        )
        self.socket = None
        self.close_connection = True
        rest = self.rfile.take_rest()
        if isinstance(sock, TlsSocket):
            rest += sock.take_rest()
        fd, reader = sock.hand_over() if isinstance(sock, Arrival) else (sock.detach(), None)
        self.server.owner.upgraded(fd, self.encoding, client, rest, tls, reader)

    @property
    def _stream(self) -> Stream:
        """The socket, which is here until it is taken away."""
        assert self.socket is not None
        return self.socket

    def _client(self) -> Endpoint:
        return self.server.proxies.client((self.client_address[0], self.client_address[1]), self._fields)

    def _no(self, status: str, why: str, *headers: tuple[str, str]) -> list[bytes]:
        self.server.owner.handshake_refused(self._client()[0], why)
        body = f"{why}\n".encode()
        self.start_response(
            status,
            [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close"), *headers],
        )
        return [body]

    def log_request(self) -> None:
        """Requests are counted, not logged."""
        self.server.stats.http_requests += 1


class Server(WSGIServer):  # type: ignore[misc]
    """The HTTP server of a worker."""

    handler_class = Handler

    def __init__(
        self,
        listeners: Listeners,
        application: WSGIApplication,
        owner: UpgradeOwner,
        origins: Origins,
        wanted: Wanted,
        stats: WorkerStats,
        proxies: Proxies | None = None,
        certificates: Certificates | None = None,
        path: str = "",
    ) -> None:
        super().__init__(listeners.sockets[0], application, spawn=spawn_raw, log=None, error_log=log)
        self.loop: Loop
        self._listeners = listeners
        self.owner = owner
        self.origins = origins
        self.wanted = wanted
        self.proxies = proxies or Proxies()
        self._certificates = certificates
        self.path = path
        """What proxies leave before every path; empty if nothing."""
        self.stats = stats
        self.logger = log
        self.is_listening = True
        self._pause = self.loop.timer(ACCEPT_PAUSE_S)
        self._is_exhausted = False
        self._under_way: dict[Stream, float] = {}
        """Sockets of HTTP connections, and arrivals, oldest first, and until when something has to come of them."""
        self._late = self.loop.timer(LOOK_S, LOOK_S)

    def start_accepting(self) -> None:
        """Take who waits, and who comes."""
        self._listeners.watch(self.loop, self._accept_some)

    def stop_accepting(self) -> None:
        """Let them wait."""
        self._listeners.rest()

    def leave(self) -> None:
        """Leave the sockets among which the kernel spreads new connections; those that wait here are answered."""
        self.is_listening = False
        self._pause.stop()
        self.stop_accepting()
        try:
            for listener in self._listeners.sockets:
                while (came := accepted(listener)) is not None:
                    self.do_handle(*came)
        except OSError:
            pass
        self._listeners.close()

    def join(self) -> None:
        """Take new connections again.

        Raises:
            OSError: If that is not possible now.
        """
        self._listeners.open()
        self.is_listening = True
        self.start_accepting()

    def close(self) -> None:
        """As theirs; who has said nothing yet is sent away too, since nothing can be answered from now on."""
        super().close()
        self._listeners.close()
        self._pause.stop()
        self._late.stop()
        for waiting in [one for one in self._under_way if isinstance(one, Arrival)]:
            waiting.end()

    def _accept_some(self, listener: Listener) -> None:
        """Accept; without descriptors, pause instead. Nothing that comes of it ends accepting."""
        try:
            for _ in range(ACCEPTS // len(self._listeners.sockets)):
                came = accepted(listener)
                if came is None:
                    break
                self.do_handle(*came)
            self._is_exhausted = False
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                return  # the client has given up meanwhile, or the network failed: accept(2)
            if not self._is_exhausted:
                self._is_exhausted = True
                event(log, "cannot_accept", logging.WARNING, error=error.strerror)
            self.stop_accepting()
            self._pause.start(self._accept_again)

    def do_handle(self, fd: int, address: SocketAddress) -> None:
        """A connection has come."""
        if self._certificates is not None or self.proxies.has_preamble(address[0]):
            self._give_greenlet(fd, address)
        else:
            self._begin(Arrival(self, fd, address), time.monotonic() + HEAD_WAIT_S)

    def arrived(self, arrival: Arrival, data: bytes) -> None:
        """The first bytes of a connection have come."""
        del self._under_way[arrival]
        try:
            handler = Handler(arrival, arrival.address, self, data) if b"\r\n\r\n" in data else None
            if handler is None or not handler.upgrade_at_once():
                self._give_greenlet(arrival.detach(), arrival.address, data)
        finally:
            arrival.end()

    def ended(self, arrival: Arrival) -> None:
        """A client has gone before it said anything."""
        self._under_way.pop(arrival, None)

    def _give_greenlet(self, fd: int, address: SocketAddress, data: bytes = b"") -> None:
        super().do_handle(socket.socket(self.family, socket.SOCK_STREAM, fileno=fd), address, data)

    def _begin(self, connection: Stream, until: float) -> None:
        if len(self._under_way) >= HTTP_MAX:
            self._push_out()
        self._under_way[connection] = until
        if not self._late.active:
            self._late.start(self._look)

    def _look(self) -> None:
        """End arrivals that have said nothing for too long; what has a greenlet looks after itself."""
        now = time.monotonic()
        for connection in [one for one, until in self._under_way.items() if until <= now]:
            connection.shutdown(socket.SHUT_RDWR)
        if not self._under_way:
            self._late.stop()

    def _accept_again(self) -> None:
        if self.started and self.is_listening:
            self.start_accepting()

    def update_environ(self) -> None:
        """Nothing: theirs asks the name service."""

    def handle(self, sock: ClosableStream, address: SocketAddress, data: bytes) -> None:
        try:
            self._begin(sock, math.inf)
            self._serve(sock, address, data)
        except OSError:
            pass
        except Exception:
            exception(log, "http_failed")
        finally:
            self._under_way.pop(sock, None)

    def _serve(self, raw: ClosableStream, address: SocketAddress, data: bytes) -> None:
        """The PROXY protocol and TLS, where they are used, then HTTP."""
        if self.proxies.has_preamble(address[0]):
            address, data = self._preamble(raw, address)
        sock: Stream = raw
        if self._certificates is not None:
            sock = tls = TlsSocket(raw, self._certificates.context)
            try:
                tls.handshake(data, HEAD_WAIT_S)
            except OSError as error:
                self.stats.tls_failures += 1
                self.owner.handshake_refused(address[0], f"TLS: {error}")
                raw.close()
                raise
            self.stats.tls_handshakes += 1
            data = b""
        Handler(sock, address, self, data).handle()

    def _preamble(self, sock: ClosableStream, address: SocketAddress) -> tuple[SocketAddress, bytes]:
        """The client's address, as a trusted proxy says, and the bytes that follow.

        Raises:
            OSError: If the proxy does not say it.
        """
        data, until = b"", time.monotonic() + HEAD_WAIT_S
        try:
            while (found := preamble(data)) is None:
                sock.settimeout(max(until - time.monotonic(), 0.001))
                more = sock.recv(PREAMBLE_BYTES_MAX)
                if not more:
                    raise ConnectionResetError
                data += more
        except (ValueError, OSError) as error:
            self.stats.bad_frames += 1
            self.owner.handshake_refused(address[0], f"the PROXY protocol: {error}")
            sock.close()
            raise ConnectionAbortedError(str(error)) from None
        return found.client or address, data[found.size :]

    def _push_out(self) -> None:
        """Hang up on the oldest. A handshake is quick, so that is one that opened a socket and sent nothing."""
        oldest = next(iter(self._under_way))
        del self._under_way[oldest]
        self.stats.refused += 1
        try:
            oldest.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _is_key(key: str) -> bool:
    try:
        return len(key) == 24 and len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _accept(key: str, guid: str) -> str:
    """RFC 6455 section 4.2.2."""
    return b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
