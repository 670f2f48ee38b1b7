"""What a request to the admin listener wants: who may ask, what for, and with what.

Without a token whoever reaches the listener may ask, but not a page that a browser on the machine has open: a page's
Origin must be the listener's own, under a name that nobody else can point at it (else DNS rebinding would do).

Not here: HTTP and performing (server.py).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qs

from gateway.link.events import Select
from gateway.link.hosts import is_address
from gateway.link.responses import Response, text
from mesh.subject import SubjectError, check, to_key

CONNECTIONS, DISCONNECT, PUBLISH, REVOKE = "/v1/connections", "/v1/disconnect", "/v1/publish", "/v1/revoke"
CLIENTS_PATH = "/v1/ws"
"""Where clients connect, at the other listener."""
DEMO = {"/v1/demo/kill": "demo/kill", "/v1/demo/cut": "demo/cut"}
ASKED = {"/health/ready": "ready", "/metrics": "metrics", "/v1/status": "status"}
OPEN = ("/health/live", "/health/ready")
"""Asked by whatever watches a process, which has no token."""
POSTS = (DISCONNECT, PUBLISH, REVOKE, *DEMO)
ROWS_MAX = 10_000
REASON = "disconnected by whoever runs the server"
REASON_CHARACTERS_MAX = 100


class AdminRequest(NamedTuple):
    """The parts of a request that matter here."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """By name in lower case."""


class AskNode(NamedTuple):
    """The node itself answers: `ready`, `status`, `metrics`, or `demo/…`."""

    what: str


class ShowFile(NamedTuple):
    """A file of the page."""

    path: str


class PublishThis(NamedTuple):
    """Publish the body, or a tombstone."""

    subject: str
    is_tombstone: bool


class RevokeThis(NamedTuple):
    """Revoke the tokens that match all given criteria."""

    token_id: str | None
    name: str | None
    issued_before: float | None
    """Seconds since 1970."""


AdminAction: TypeAlias = AskNode | ShowFile | PublishThis | RevokeThis | Select | Response
"""What to do, or why not."""


def wanted(request: AdminRequest, token: str, names: Collection[str]) -> AdminAction:
    """What the request is for.

    Args:
        token: What requests must bring; empty: nothing.
        names: Under which the listener can be asked, besides any IP address.
    """
    path = request.path
    if request.method not in ("GET", "HEAD", "POST"):
        return text("405 Method Not Allowed", f"{request.method} is not for here", ("Allow", "GET, HEAD, POST"))
    if (request.method == "POST") != (path in POSTS):
        allowed = "POST" if path in POSTS else "GET, HEAD"
        return text("405 Method Not Allowed", f"{request.method} is not for {path}", ("Allow", allowed))
    if refusal := _stranger(request.headers, names):
        return text("403 Forbidden", refusal)
    is_api = path.startswith("/v1/") or path in ASKED
    if token and is_api and path not in OPEN and not _brings(request.headers, token):
        why = "the header `Authorization: Bearer TOKEN` is expected, with the node's admin.token"
        return text("401 Unauthorized", why, ("WWW-Authenticate", "Bearer"))
    if path == "/health/live":
        return text("200 OK", "live")
    if path in ASKED:
        return AskNode(ASKED[path])
    if not is_api:
        return ShowFile(path)
    try:
        return _of_api(path, parse_qs(request.query, keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        return text("400 Bad Request", str(error))


def _of_api(path: str, query: Mapping[str, list[str]]) -> AdminAction:
    """Raises ValueError, with what is wrong."""
    if path in DEMO:
        if DEMO[path] == "demo/kill":
            return AskNode("demo/kill")
        return AskNode(f"{DEMO[path]}?seconds={_whole(_one(query, 'seconds') or '', 'seconds', 120)}")
    if path == PUBLISH:
        _known(query, "subject", "tombstone")
        subject = _one(query, "subject")
        if subject is None:
            raise ValueError("`?subject=/topic/key` is expected")
        try:
            to_key(subject)
        except SubjectError as error:
            raise ValueError(f"subject: {error}") from None
        return PublishThis(subject, "tombstone" in query)
    if path == REVOKE:
        return _revoke(query)
    if path == CLIENTS_PATH:
        return text("404 Not Found", "this is the admin listener: clients connect to node.listen")
    if path not in (CONNECTIONS, DISCONNECT):
        return text("404 Not Found", "there is nothing here")
    is_list = path == CONNECTIONS
    _known(query, "identity", "address", "subject", "limit" if is_list else "reason")
    subject = _one(query, "subject")
    if subject is not None:
        try:
            check(subject)
        except SubjectError as error:
            raise ValueError(f"subject: {error}") from None
    identity, address = _one(query, "identity"), _one(query, "address")
    if is_list:
        return Select(0, identity, address, subject, _whole(_one(query, "limit") or "100", "limit", ROWS_MAX))
    if not (identity or address or subject):
        raise ValueError("one of `identity`, `address` and `subject` is expected")
    return Select(0, identity, address, subject, 0, (_one(query, "reason") or REASON)[:REASON_CHARACTERS_MAX])


def _revoke(query: Mapping[str, list[str]]) -> RevokeThis:
    _known(query, "token_id", "subject", "issued_before")
    found = RevokeThis(_one(query, "token_id"), _one(query, "subject"), _time(_one(query, "issued_before")))
    if not (found.token_id or found.name or found.issued_before is not None):
        raise ValueError("one of `token_id`, `subject` and `issued_before` is expected")
    if found.token_id == "" or found.name == "":
        raise ValueError("an empty `token_id` or `subject` is nobody's")
    return found


def _time(given: str | None) -> float | None:
    """Seconds since 1970 of a number of these, or of a time as in RFC 3339."""
    if given is None:
        return None
    try:
        found = float(given)
    except ValueError:
        try:
            time = datetime.fromisoformat(given)
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise ValueError(f"found time {given!r}, expected 2026-01-31T12:00:00Z or seconds since 1970") from None
        return time.timestamp()
    if not 0 <= found < 1e11:
        raise ValueError(f"found time {given!r}, expected seconds since 1970")
    return found


def _known(query: Mapping[str, list[str]], *names: str) -> None:
    if others := [name for name in query if name not in names]:
        raise ValueError(f"not known: {others[0]!r}; expected are {', '.join(names)}")


def _one(query: Mapping[str, list[str]], name: str) -> str | None:
    found = query.get(name)
    if found is not None and len(found) > 1:
        raise ValueError(f"`{name}` is given {len(found)} times")
    return found[0] if found else None


def _whole(given: str, name: str, greatest: int) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= greatest):
        raise ValueError(f"found {name} {given!r}, expected a whole number from 1 to {greatest}")
    return int(given)


def _stranger(headers: Mapping[str, str], names: Collection[str]) -> str:
    """Why a request may come from a foreign page; empty if it cannot."""
    host, origin = headers.get("host", ""), headers.get("origin")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if host and name not in names and not is_address(name):
        return f"the host {host!r} is no name of this listener"
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return f"the origin {origin!r} is not the listener's own page"
    return ""


def _brings(headers: Mapping[str, str], token: str) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
