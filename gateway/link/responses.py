"""An answer over HTTP, as a node and its workers give it.

Not here: sending it (gateway/http/site.py, node/admin/server.py).
"""

from __future__ import annotations

from typing import NamedTuple

REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Response(NamedTuple):
    """Status line, headers and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def text(status: str, body: str, *headers: tuple[str, str]) -> Response:
    """An answer of one line."""
    return Response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], f"{body}\n".encode())


def fresh(status: int, content_type: str, body: bytes) -> Response:
    """An answer that holds for now only."""
    headers = [("Content-Type", content_type), ("Cache-Control", "no-store")]
    return Response(f"{status} {REASONS.get(status, 'Status')}", headers, body)
