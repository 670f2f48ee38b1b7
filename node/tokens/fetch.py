"""Fetches key sets over HTTP, in threads off the node's loop.

Not here: when (key_sets.py).
"""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import gevent
from gevent.threadpool import ThreadPool

TIMEOUT_S = 4.0
BYTES_MAX = 1 << 20
THREADS = 2


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that was configured, or not at all."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Fetcher:
    """Fetches; `fetched` is called in the loop with the URL, the content, and why there is none."""

    def __init__(self, fetched: Callable[[str, bytes, str], None]) -> None:
        self._fetched = fetched
        self._threads = ThreadPool(THREADS)
        self._opener = urllib.request.build_opener(_NoRedirect())

    def fetch(self, url: str) -> None:
        """Have it fetched."""
        gevent.spawn(self._wait, url)

    def _wait(self, url: str) -> None:
        self._fetched(url, *self._threads.apply(self._get, (url,)))

    def _get(self, url: str) -> tuple[bytes, str]:
        until = time.monotonic() + TIMEOUT_S
        try:
            with self._opener.open(urllib.request.Request(url), timeout=TIMEOUT_S) as answer:
                content = b""
                while chunk := answer.read1(65536):
                    content += chunk
                    if len(content) > BYTES_MAX:
                        return b"", f"it answers with more than {BYTES_MAX} bytes"
                    if time.monotonic() > until:
                        return b"", f"it took longer than {TIMEOUT_S:g} s"
                return content, ""
        except (OSError, http.client.HTTPException, ValueError) as error:
            return b"", str(error) or type(error).__name__
