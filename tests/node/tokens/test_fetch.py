"""Fetching key sets from servers that answer as they should not: bounded in time and size, and told clearly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import gevent
import pytest

from node.tokens import fetch
from node.tokens.fetch import BYTES_MAX, THREADS, Fetcher
from tests.gateway.authorizers.signing import RSA, jwks
from tests.support.patience import PATIENCE_S
from tests.support.raw_http import DRIPS, RawServer, endless, whole
from tests.support.silent_resolver import SILENT, silent_resolver

KEYS = jwks(one=RSA)


class Fetched:
    """Fetches, and waits."""

    def __init__(self) -> None:
        self._fetcher = Fetcher(self._came)
        self._found: dict[str, tuple[bytes, str]] = {}

    def _came(self, url: str, content: bytes, why: str) -> None:
        self._found[url] = (content, why)

    def get(self, *urls: str) -> list[tuple[bytes, str]]:
        """Content of each, and why there is none."""
        for url in urls:
            self._fetcher.fetch(url)
        with gevent.Timeout(PATIENCE_S):
            while len(self._found) < len(urls):
                gevent.sleep(0.005)
        found, self._found = self._found, {}
        return [found[url] for url in urls]


def fetched(answer: Callable[[str], Iterable[bytes]], is_slow: bool = False) -> tuple[bytes, str]:
    with RawServer(answer, is_slow) as server:
        return Fetched().get(server.url + "/keys")[0]


def test_what_a_server_has() -> None:
    assert fetched(lambda path: whole(KEYS)) == (KEYS, "")
    assert fetched(lambda path: [b"HTTP/1.0 200 OK\r\n\r\n", KEYS]) == (KEYS, "")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("where", ["/other", "http://127.0.0.2:9/keys", "file:///etc/hostname"])
def test_a_redirect_is_not_followed_and_said(status: str, where: str) -> None:
    with RawServer(lambda path: whole(b"", status, f"Location: {where}") if path == "/keys" else whole(KEYS)) as server:
        ((content, why),) = Fetched().get(server.url + "/keys")
        assert server.paths == ["/keys"]
    assert content == b""
    assert why == f"it answers with status {status[:3]}: redirects, here to {where!r}, are not followed"


def test_what_is_too_long_is_not_read_to_its_end() -> None:
    most = b"x" * BYTES_MAX
    assert fetched(lambda path: whole(most)) == (most, "")
    too_long = (b"", f"it answers with more than {BYTES_MAX} bytes")
    assert fetched(lambda path: whole(most + b"x")) == too_long
    assert fetched(lambda path: endless(b"x" * 65536)) == too_long


@pytest.mark.parametrize("what", DRIPS)
def test_what_drips_ends_in_time_and_keeps_nobody_waiting(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the fetching of other keys: there are two threads for it."""
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.5)
    before = threading.active_count()
    with (
        RawServer(lambda path: DRIPS[what](), is_slow=True) as dripping,
        RawServer(lambda path: whole(KEYS)) as other,
    ):
        *late, good = Fetched().get(*[f"{dripping.url}/{n}" for n in range(2 * THREADS)], other.url)
        assert late == [(b"", "no whole answer within 0.5 s")] * len(late)
        assert good == (KEYS, "")
    deadline = time.monotonic() + PATIENCE_S
    while threading.active_count() > before:  # those that serve may end a little later
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


def test_a_name_server_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.5)
    with silent_resolver() as asked, RawServer(lambda path: whole(KEYS)) as other:
        *late, good = Fetched().get(*[f"http://{SILENT}/{n}" for n in range(2 * THREADS)], other.url)
        assert late == [(b"", f"the address of {SILENT} was not found within 0.5 s")] * len(late)
        assert good == (KEYS, "")
        assert asked.hosts.count(SILENT) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (whole(b"not here", "404 Not Found"), "it answers with status 404"),
        (whole(b"", "503 Busy"), "it answers with status 503"),
        (whole(b"", "302 Found"), "it answers with status 302"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "SSH-2.0"),
        ([], "without response"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], "IncompleteRead"),
        ([b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 200, b"\r\n"], "more than 100 headers"),
        ([b"HTTP/1.1 200 OK\r\nX: ", b"y" * 70_000, b"\r\n\r\n"], "more than 65536"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_answer_is_told(answer: list[bytes], why: str) -> None:
    content, said = fetched(lambda path: answer)
    assert content == b""
    assert why in said
