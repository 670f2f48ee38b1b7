"""What a worker answers to plain HTTP: the JavaScript SDK and health; where the node's insides are shown to clients,
also the page, metrics and status; in a demo, controls.

All but the files are the node's to answer; if it does not within a bounded time, that is said with 503.

Not here: reading requests, the WebSocket upgrade (server.py), which pages may ask for what (origins.py), the admin
listener (node/admin/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from gateway.http.controls import CUT, CUT_S_MAX, KILL, MARK, cut_s
from gateway.http.origins import Origins
from gateway.http.server import WEBSOCKET_PATH
from gateway.link.events import Reply
from gateway.link.files import SDK_PATH, file_response
from gateway.link.responses import Response, fresh, text

STATUS = "/v1/status"
READY = "/health/ready"
ASKED = {READY: "ready", "/metrics": "metrics", STATUS: "status"}


class Site:
    """A WSGI application."""

    def __init__(
        self,
        query: Callable[[str], Reply | None],
        origins: Origins,
        has_controls: bool = False,
        has_insides: bool = False,
    ) -> None:
        """Serve.

        Args:
            query: Has the node answer, or returns None if it does not.
            has_controls: Whether the node can be killed and cut off over HTTP.
            has_insides: Whether there are the page, metrics, status and the reasons of health.
        """
        self._query = query
        self._origins = origins
        self._has_insides = has_insides
        self._has_controls = has_controls

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
        is_shared = path == STATUS and self._has_insides
        if self._has_controls and path in (KILL, CUT):
            is_shared = True
            response = self._control(method, path, environ)
        elif method in ("GET", "HEAD"):
            response = self._get(environ.get("SCRIPT_NAME", ""), path, environ.get("HTTP_IF_NONE_MATCH", ""))
        else:
            response = text("405 Method Not Allowed", f"{method} is not for here", ("Allow", "GET, HEAD"))
        headers = [*response.headers, ("X-Content-Type-Options", "nosniff")]
        if is_shared:
            headers += self._origins.cors(origin, host)
        if not response.status.startswith(("204", "304")):
            headers.append(("Content-Length", str(len(response.body))))
        start_response(response.status, headers)
        return [] if method == "HEAD" else [response.body]

    def _get(self, above: str, path: str, known: str) -> Response:
        if not path:  # what stands on the page is looked for beside it
            return text("308 Permanent Redirect", "the page", ("Location", f"{above}/"))
        if path == READY and not self._has_insides:
            return self._ready()
        if path in ASKED and self._has_insides:
            return self._reply(ASKED[path])
        if path == "/health/live":
            return text("200 OK", "live")
        if path == WEBSOCKET_PATH:
            wanted = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            return text("426 Upgrade Required", "this is for WebSocket, version 13", *wanted)
        if not self._has_insides and not path.startswith(SDK_PATH):
            return text("404 Not Found", "there is nothing here")
        return file_response(path, known, self._origins.nodes)

    def _ready(self) -> Response:
        """Whether the node is ready, without the reasons."""
        response = self._reply("ready")
        is_ready = response.status.startswith("200")
        return text(response.status, "ready" if is_ready else "not ready", ("Cache-Control", "no-store"))

    def _control(self, method: str, path: str, environ: WSGIEnvironment) -> Response:
        """Kill this node or cut it off, if this request may have that done."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._origins.knows(origin, environ.get("HTTP_HOST", "")):
            return text("403 Forbidden", f"the origin {origin!r} is no page of this cluster's")
        if method == "OPTIONS":
            allowed = [("Access-Control-Allow-Methods", "POST"), ("Access-Control-Allow-Headers", MARK)]
            return Response("204 No Content", allowed, b"")
        if method != "POST":
            return text("405 Method Not Allowed", f"{method} is not for here", ("Allow", "POST, OPTIONS"))
        if environ.get("HTTP_X_WHIMBREL_DEMO") != "1":
            return text("403 Forbidden", f"the header `{MARK}: 1` is expected")
        if path == KILL:
            return self._reply("demo/kill")
        seconds = cut_s(environ.get("QUERY_STRING", ""))
        if seconds is None:
            return text("400 Bad Request", f"`?seconds=N` is expected, N from 1 to {CUT_S_MAX}")
        return self._reply(f"demo/cut?seconds={seconds}")

    def _reply(self, what: str) -> Response:
        reply = self._query(what)
        if reply is None:
            return text("503 Service Unavailable", "the node process does not answer")
        return fresh(reply.status, reply.content_type, reply.body)
