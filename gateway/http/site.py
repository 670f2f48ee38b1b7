"""What a worker answers to plain HTTP: the page, the JavaScript SDK, health, metrics and status; in a demo, controls.

All but the files are the node's to answer; if it does not within a bounded time, that is said with 503.

Not here: reading requests, the WebSocket upgrade (server.py), which pages may ask for what (origins.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gateway.http.controls import CUT, CUT_S_MAX, KILL, MARK, cut_s
from gateway.http.origins import Origins
from gateway.http.server import WEBSOCKET_PATH
from gateway.link.events import Reply

PAGE = Path(__file__).parent.parent / "web"
_SOURCE = Path(__file__).parents[2] / "client" / "js"
SDK = _SOURCE if _SOURCE.is_dir() else Path(sys.prefix) / "share" / "whimbrel" / "sdk"
"""In a checkout as it lies; else where pyproject.toml has it installed."""

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}

STATUS = "/v1/status"
ASKED = {"/health/ready": "ready", "/metrics": "metrics", STATUS: "status"}


class Response(NamedTuple):
    """Status line, headers and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


REASONS = {200: "OK", 202: "Accepted", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


class Site:
    """A WSGI application."""

    def __init__(self, query: Callable[[str], Reply | None], origins: Origins, has_controls: bool = False) -> None:
        """Serve.

        Args:
            query: Has the node answer, or returns None if it does not.
            has_controls: Whether the node can be killed and cut off over HTTP.
        """
        self._query = query
        self._origins = origins
        self._has_controls = has_controls

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
        is_shared = path == STATUS
        if self._has_controls and path in (KILL, CUT):
            is_shared = True
            response = self._control(method, path, environ)
        elif method in ("GET", "HEAD"):
            response = self._get(path, environ.get("HTTP_IF_NONE_MATCH", ""))
        else:
            response = _text("405 Method Not Allowed", f"{method} is not for here", ("Allow", "GET, HEAD"))
        headers = [*response.headers, ("X-Content-Type-Options", "nosniff")]
        if is_shared:
            headers += self._origins.cors(origin, host)
        if not response.status.startswith(("204", "304")):
            headers.append(("Content-Length", str(len(response.body))))
        start_response(response.status, headers)
        return [] if method == "HEAD" else [response.body]

    def _get(self, path: str, known: str) -> Response:
        if path in ASKED:
            return self._reply(ASKED[path])
        if path == "/health/live":
            return _text("200 OK", "live")
        if path == WEBSOCKET_PATH:
            wanted = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            return _text("426 Upgrade Required", "this is for WebSocket, version 13", *wanted)
        file = find(path)
        return (
            _text("404 Not Found", "there is nothing here")
            if file is None
            else _file(file, known, _policy(self._origins.nodes))
        )

    def _control(self, method: str, path: str, environ: dict[str, Any]) -> Response:
        """Kill this node or cut it off, if this request may have that done."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._origins.knows(origin, environ.get("HTTP_HOST", "")):
            return _text("403 Forbidden", f"the origin {origin!r} is no page of this cluster's")
        if method == "OPTIONS":
            allowed = [("Access-Control-Allow-Methods", "POST"), ("Access-Control-Allow-Headers", MARK)]
            return Response("204 No Content", allowed, b"")
        if method != "POST":
            return _text("405 Method Not Allowed", f"{method} is not for here", ("Allow", "POST, OPTIONS"))
        if environ.get("HTTP_X_WHIMBREL_DEMO") != "1":
            return _text("403 Forbidden", f"the header `{MARK}: 1` is expected")
        if path == KILL:
            return self._reply("demo/kill")
        seconds = cut_s(environ.get("QUERY_STRING", ""))
        if seconds is None:
            return _text("400 Bad Request", f"`?seconds=N` is expected, N from 1 to {CUT_S_MAX}")
        return self._reply(f"demo/cut?seconds={seconds}")

    def _reply(self, what: str) -> Response:
        reply = self._query(what)
        if reply is None:
            return _text("503 Service Unavailable", "the node process does not answer")
        headers = [("Content-Type", reply.content_type), ("Cache-Control", "no-store")]
        return Response(f"{reply.status} {REASONS.get(reply.status, 'Status')}", headers, reply.body)


def find(path: str) -> Path | None:
    """The file that a path stands for: of the page, or right in the SDK's folder."""
    if "\0" in path:
        return None
    if path.startswith("/sdk/"):
        root, name = SDK, path[len("/sdk/") :]
        if "/" in name or not name.endswith((".js", ".d.ts")):
            return None
    else:
        root, name = PAGE, path[1:] or "index.html"
    file = root / name
    try:
        file = file.resolve()
        is_there = file.is_relative_to(root.resolve()) and file.is_file()
    except OSError:
        return None
    return file if is_there and file.suffix in CONTENT_TYPES else None


def _file(file: Path, known: str, policy: str) -> Response:
    try:
        body, stat = file.read_bytes(), file.stat()
    except OSError:
        return _text("404 Not Found", "there is nothing here")
    tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    # Browsers ask again each time; what has not changed is not sent again.
    headers = [("ETag", tag), ("Cache-Control", "no-cache"), ("Content-Type", CONTENT_TYPES[file.suffix])]
    headers.append(("Content-Security-Policy", policy))
    if tag in (one.strip().removeprefix("W/") for one in known.split(",")) or known.strip() == "*":
        return Response("304 Not Modified", headers, b"")
    return Response("200 OK", headers, body)


def _policy(nodes: Iterable[str]) -> str:
    """The page and its scripts come from here and nowhere else; the SDK may be sent to any node."""
    connect = " ".join(["connect-src 'self' ws: wss:", *nodes])
    return f"default-src 'self'; {connect}; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"


def _text(status: str, body: str, *headers: tuple[str, str]) -> Response:
    return Response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], f"{body}\n".encode())
