"""Fetches key sets over HTTP, in threads off the node's loop.

Redirects are not followed: whoever may answer for the configured address would else choose whose keys let clients in,
also over plain HTTP. The `jwks_uri` of an identity provider's metadata is where its keys are. Proxies are those of the
environment (`https_proxy`, `no_proxy`).

Not here: when (key_sets.py).
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

import gevent
from gevent.threadpool import ThreadPool

from gateway.link.timed_http import TimedHTTPConnection, TimedHTTPSConnection

TIMEOUT_S = 4.0
BYTES_MAX = 1 << 20
THREADS = 2
_HEADERS = {"User-Agent": "whimbrel", "Accept": "application/json"}
"""Some providers refuse the agent that urllib names by itself."""


class _OverHTTP(HTTPHandler):
    def http_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(TimedHTTPConnection, request)


class _OverHTTPS(HTTPSHandler):
    def https_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(TimedHTTPSConnection, request)


class Fetcher:
    """Fetches; `fetched` is called in the loop with the URL, the content, and why there is none."""

    def __init__(self, fetched: Callable[[str, bytes, str], None]) -> None:
        self._fetched = fetched
        self._threads = ThreadPool(THREADS)
        self._opener = OpenerDirector()
        for handler in (ProxyHandler, _OverHTTP, _OverHTTPS, HTTPErrorProcessor, HTTPDefaultErrorHandler):
            self._opener.add_handler(handler())

    def fetch(self, url: str) -> None:
        """Have it fetched."""
        gevent.spawn(self._wait, url)

    def _wait(self, url: str) -> None:
        self._fetched(url, *self._threads.apply(self._get, (url,)))

    def _get(self, url: str) -> tuple[bytes, str]:
        try:
            with self._opener.open(Request(url, headers=_HEADERS), timeout=TIMEOUT_S) as answer:
                content = answer.read(BYTES_MAX + 1)
        except HTTPError as error:
            return b"", _of_status(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return b"", _said(error.reason if isinstance(error, URLError) else error)
        if len(content) > BYTES_MAX:
            return b"", f"it answers with more than {BYTES_MAX} bytes"
        return content, ""


def _of_status(error: HTTPError) -> str:
    where = error.headers.get("Location")
    error.close()
    if error.code in (301, 302, 303, 307, 308) and where:
        return f"it answers with status {error.code}: redirects, here to {where[:200]!r}, are not followed"
    return f"it answers with status {error.code}"


def _said(error: object) -> str:
    return str(error) or type(error).__name__
