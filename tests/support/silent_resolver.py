"""A name server that does not answer, as far as this process can tell."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SILENT = "silent.example"
"""The host that is looked up in vain."""


class AskedInVain:
    """What `getaddrinfo` was asked."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.answers = threading.Event()
        """Set: it answers, with 127.0.0.1."""


@contextmanager
def silent_resolver() -> Iterator[AskedInVain]:
    """Meanwhile a look-up of `SILENT` takes until `answers` is set; others are as they were."""
    asked = AskedInVain()
    real = socket.getaddrinfo

    def look_up(host: Any, *more: Any, **options: Any) -> Any:
        asked.hosts.append(host)
        if host != SILENT:
            return real(host, *more, **options)
        asked.answers.wait()
        return real("127.0.0.1", *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield asked
        asked.answers.set()
