"""The files that are handed out over HTTP: the page by a node's admin listener, the JavaScript SDK by its workers.

Not here: who may have which (gateway/http/site.py, node/admin/server.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from gateway.link.responses import Response, text

PAGE = Path(__file__).parent.parent / "web"
_SOURCE = Path(__file__).parents[2] / "client" / "js"
SDK = _SOURCE if _SOURCE.is_dir() else Path(sys.prefix) / "share" / "whimbrel" / "sdk"
"""In a checkout as it lies; else where pyproject.toml has it installed."""
SDK_PATH = "/sdk/"

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


def find(path: str) -> Path | None:
    """The file that a path stands for: of the page, or right in the SDK's folder."""
    if "\0" in path:
        return None
    if path.startswith(SDK_PATH):
        root, name = SDK, path[len(SDK_PATH) :]
        if "/" in name or not name.endswith((".js", ".d.ts")):
            return None
    else:
        root, name = PAGE, path[1:] or "index.html"
    file = root / name
    try:
        file = file.resolve()
        is_there = file.is_relative_to(root.resolve()) and file.is_file()
    except (OSError, ValueError):
        return None
    return file if is_there and file.suffix in CONTENT_TYPES else None


def file_response(path: str, known: str, nodes: Iterable[str]) -> Response:
    """The file at a path, or 404.

    Args:
        known: The header If-None-Match.
        nodes: Origins that the page may ask, besides its own.
    """
    file = find(path)
    try:
        body, stat = (file.read_bytes(), file.stat()) if file is not None else (b"", None)
    except OSError:
        stat = None
    if file is None or stat is None:
        return text("404 Not Found", "there is nothing here")
    tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    # Browsers ask again each time; what has not changed is not sent again.
    headers = [("ETag", tag), ("Cache-Control", "no-cache"), ("Content-Type", CONTENT_TYPES[file.suffix])]
    headers.append(("Content-Security-Policy", _policy(nodes)))
    if tag in (one.strip().removeprefix("W/") for one in known.split(",")) or known.strip() == "*":
        return Response("304 Not Modified", headers, b"")
    return Response("200 OK", headers, body)


def _policy(nodes: Iterable[str]) -> str:
    """The page and its scripts come from here and nowhere else; the SDK may be sent to any node."""
    connect = " ".join(["connect-src 'self' ws: wss:", *nodes])
    return f"default-src 'self'; {connect}; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
