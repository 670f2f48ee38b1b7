"""Who may ask the admin listener for what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.events import Select
from gateway.link.responses import Response
from node.admin.requests import ASKED, POSTS, REASON, AdminRequest, AskNode, PublishThis, RevokeThis, ShowFile, wanted

TOKEN = "x" * 20


def ask(path: str, method: str = "GET", query: str = "", token: str = "", **headers: str) -> object:
    return wanted(AdminRequest(method, path, query, headers), token, {"localhost", "push.example"})


def status(found: object) -> str:
    assert isinstance(found, Response), found
    return found.status[:3]


@pytest.mark.parametrize("path", ["/v1/status", "/metrics", "/v1/connections", "/v1/nothing"])
def test_without_its_token_nothing_is_told(path: str) -> None:
    for headers in (
        {},
        {"authorization": "Bearer " + "y" * 20},
        {"authorization": TOKEN},
        {"authorization": "Bearer é"},
    ):
        assert status(ask(path, token=TOKEN, **headers)) == "401"
    found = ask(path, token=TOKEN, authorization=f"bearer {TOKEN}")
    assert not isinstance(found, Response) or found.status.startswith("404")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/", "/page.js"])
def test_health_and_the_page_need_none(path: str) -> None:
    found = ask(path, token=TOKEN)
    assert isinstance(found, AskNode | ShowFile) or found == Response("200 OK", found.headers, b"live\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("host", "origin", "is_let_in"),
    [
        ("", None, True),
        ("127.0.0.1:8090", None, True),
        ("LocalHost:8090", "http://localhost:8090", True),
        ("[::1]:8090", "http://[::1]:8090", True),
        ("push.example", "https://push.example", True),
        ("evil.example:8090", None, False),
        ("evil.example:8090", "http://evil.example:8090", False),
        ("127.0.0.1:8090", "http://evil.example", False),
        ("127.0.0.1:8090", "null", False),
        ("127.0.0.1:8090", "http://127.0.0.1:8080", False),
        ("127.0.0.1@evil:1", None, False),
    ],
)
def test_a_foreign_page_on_the_machine_can_do_nothing(host: str, origin: str | None, is_let_in: bool) -> None:
    headers = {"host": host} if host else {}
    headers |= {"origin": origin} if origin is not None else {}
    for path, method in (("/v1/status", "GET"), ("/v1/demo/kill", "POST"), ("/", "GET")):
        found = ask(path, method, **headers)
        assert (not isinstance(found, Response) or not found.status.startswith("403")) == is_let_in


def test_what_can_be_asked() -> None:
    for path, what in ASKED.items():
        assert ask(path) == AskNode(what)
    assert ask("/v1/connections") == Select(0, rows_max=100)
    assert ask("/v1/connections", query="identity=a%20b&address=::1&subject=/t/*&limit=7") == Select(
        0, "a b", "::1", "/t/*", 7
    )
    assert ask("/v1/disconnect", "POST", "identity=a") == Select(0, "a", close=REASON)
    assert ask("/v1/revoke", "POST", "token_id=t1") == RevokeThis("t1", None, None)
    assert ask("/v1/revoke", "POST", "subject=ann&issued_before=1970-01-01T00:01:00Z") == RevokeThis(None, "ann", 60.0)
    assert ask("/v1/revoke", "POST", "issued_before=1.5") == RevokeThis(None, None, 1.5)
    assert ask("/v1/disconnect", "POST", "subject=/t/a&reason=bye") == Select(0, subject="/t/a", close="bye")
    assert ask("/v1/publish", "POST", "subject=/t/a") == PublishThis("/t/a", False)
    assert ask("/v1/publish", "POST", "subject=/t/a&tombstone") == PublishThis("/t/a", True)
    assert ask("/v1/demo/cut", "POST", "seconds=5") == AskNode("demo/cut?seconds=5")


@pytest.mark.parametrize(
    ("path", "method", "query", "code"),
    [
        ("/v1/disconnect", "GET", "identity=a", "405"),
        ("/v1/revoke", "GET", "token_id=a", "405"),
        ("/v1/revoke", "POST", "", "400"),
        ("/v1/revoke", "POST", "subject=", "400"),
        ("/v1/revoke", "POST", "token_id=", "400"),
        ("/v1/revoke", "POST", "issued_before=yesterday", "400"),
        ("/v1/revoke", "POST", "issued_before=2026-01-01", "400"),
        ("/v1/revoke", "POST", "issued_before=nan", "400"),
        ("/v1/revoke", "POST", "issued_before=-1", "400"),
        ("/v1/status", "POST", "", "405"),
        ("/", "DELETE", "", "405"),
        ("/v1/disconnect", "POST", "", "400"),
        ("/v1/disconnect", "POST", "identity=", "400"),
        ("/v1/disconnect", "POST", "idenity=a", "400"),
        ("/v1/connections", "GET", "limit=0", "400"),
        ("/v1/connections", "GET", "limit=1e9", "400"),
        ("/v1/connections", "GET", "limit=1&limit=2", "400"),
        ("/v1/connections", "GET", "subject=t", "400"),
        ("/v1/publish", "POST", "", "400"),
        ("/v1/publish", "POST", "subject=/t/*", "400"),
        ("/v1/demo/cut", "POST", "", "400"),
        ("/v1/demo/cut", "POST", "seconds=121", "400"),
        ("/v1/", "GET", "", "404"),
    ],
)
def test_what_cannot_is_refused(path: str, method: str, query: str, code: str) -> None:
    assert status(ask(path, method, query)) == code


def test_a_client_at_the_wrong_listener_is_told_so() -> None:
    found = ask("/v1/ws", "GET", "")
    assert isinstance(found, Response)
    assert b"this is the admin listener: clients connect to node.listen" in found.body


_PATHS = st.one_of(st.sampled_from([*ASKED, *POSTS, "/v1/connections", "/"]), st.text())
_KEYS = ["subject", "identity", "address", "limit", "reason", "tombstone", "token_id", "issued_before", "seconds"]
_VALUES = st.sampled_from(["/t/a", "/t/*", "/t/%2541", "", "1e400", "nan", "-0", "0001-01-01T00:00:00+23:59", "9" * 20])
_PAIRS = st.lists(st.tuples(st.sampled_from(_KEYS), _VALUES | st.text()).map("=".join), max_size=4)
_QUERIES = _PAIRS.map("&".join) | st.text()
_HEADERS = st.dictionaries(st.sampled_from(["host", "origin", "authorization"]) | st.text(), st.text())


@given(st.sampled_from(["GET", "POST", "HEAD", "PUT"]), _PATHS, _QUERIES, _HEADERS)
def test_anything_has_an_answer(method: str, path: str, query: str, headers: dict[str, str]) -> None:
    for token in ("", TOKEN):
        found = wanted(AdminRequest(method, path, query, headers), token, {"localhost"})
        assert not token or not isinstance(found, Select | PublishThis) or headers.get("authorization")
