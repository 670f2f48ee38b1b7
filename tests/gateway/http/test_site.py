"""What plain HTTP gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.http.origins import Origins
from gateway.http.site import Site
from gateway.link import files
from gateway.link.events import Reply
from gateway.link.files import find


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page, sdk = tmp_path / "page", tmp_path / "js"
    for folder in (page / "img", sdk / "test"):
        folder.mkdir(parents=True)
    (page / "index.html").write_text("<p>hello")
    (page / "img" / "a.svg").write_text("<svg/>")
    (page / "secret.py").write_text("x")
    (tmp_path / "outside.html").write_text("x")
    (page / "way-out.html").symlink_to(tmp_path / "outside.html")
    (sdk / "whimbrel.js").write_text("export {}")
    (sdk / "whimbrel.d.ts").write_text("export {}")
    (sdk / "package.json").write_text("{}")
    (sdk / "test" / "t.js").write_text("x")
    monkeypatch.setattr(files, "PAGE", page)
    monkeypatch.setattr(files, "SDK", sdk)
    return tmp_path


def get(
    path: str, method: str = "GET", reply: Reply | None = None, **headers: str
) -> tuple[str, dict[str, str], bytes]:
    found: list[Any] = []
    asked: list[str] = []

    def ask(what: str) -> Reply | None:
        asked.append(what)
        return reply

    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": ""} | headers

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], None]:
        found.extend([status, dict(headers)])
        return list[bytes]().append

    body = b"".join(Site(ask, Origins(), has_insides=True)(environ, start_response))
    return found[0], found[1] | {"asked": ",".join(asked)}, body


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/img/a.svg", "image/svg+xml"),
        ("/sdk/whimbrel.js", "text/javascript; charset=utf-8"),
        ("/sdk/whimbrel.d.ts", "text/plain; charset=utf-8"),
    ],
)
def test_files_are_served_with_their_type_and_are_not_sent_twice(path: str, kind: str) -> None:
    status, headers, body = get(path)
    assert (status, headers["Content-Type"], headers["Content-Length"]) == ("200 OK", kind, str(len(body)))
    assert headers["Cache-Control"] == "no-cache"
    assert get(path, "HEAD")[2] == b""
    assert get(path, "HEAD")[1] == headers
    status, again, body = get(path, HTTP_IF_NONE_MATCH=f'"x", W/{headers["ETag"]}')
    assert (status, body, again["ETag"]) == ("304 Not Modified", b"", headers["ETag"])
    assert "Content-Length" not in again
    assert get(path, HTTP_IF_NONE_MATCH='"other"')[0] == "200 OK"


@pytest.mark.parametrize("path", ["/", "/index.html", "/img/a.svg"])
def test_a_page_may_only_load_what_is_served_here_and_may_not_be_framed(path: str) -> None:
    for headers in (get(path)[1], get(path, "HEAD")[1], get(path, HTTP_IF_NONE_MATCH="*")[1]):
        policy = {
            name: sources
            for name, *sources in (directive.split() for directive in headers["Content-Security-Policy"].split(";"))
        }
        assert policy == {
            "default-src": ["'self'"],
            "connect-src": ["'self'", "ws:", "wss:"],
            "object-src": ["'none'"],
            "base-uri": ["'none'"],
            "frame-ancestors": ["'none'"],
        }


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/img",
        "/img/",
        "/secret.py",
        "/../outside.html",
        "/img/../../outside.html",
        "//etc/passwd",
        "/way-out.html",
        "/a\0b",
        "/" + "x" * 5000,
        "/sdk/",
        "/sdk/../page/index.html",
        "/sdk/test/t.js",
        "/sdk/package.json",
        "/sdk/..",
        "/sdk//etc/x.js",
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    assert find(path) is None
    assert get(path)[0] == "404 Not Found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
def test_only_get_and_head(method: str) -> None:
    status, headers, _ = get("/", method)
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


@pytest.mark.parametrize(
    ("path", "what"), [("/health/ready", "ready"), ("/metrics", "metrics"), ("/v1/status", "status")]
)
def test_the_node_is_asked(path: str, what: str) -> None:
    reply = Reply(1, 503, "text/x", b"not yet")
    status, headers, body = get(path, reply=reply)
    assert (status, headers["Content-Type"], body) == ("503 Service Unavailable", "text/x", b"not yet")
    assert headers["asked"] == what
    status, _, body = get(path)
    assert status.startswith("503")
    assert b"does not answer" in body


def test_live_needs_no_node_and_the_websocket_path_says_what_it_is() -> None:
    assert get("/health/live")[0] == "200 OK"
    assert get("/health/live")[1]["asked"] == ""
    assert get("/v1/ws")[0] == "426 Upgrade Required"
