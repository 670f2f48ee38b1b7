"""Addresses of hosts, in a bounded time."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.link.resolver import Resolver
from tests.support.patience import PATIENCE_S
from tests.support.silent_resolver import SILENT, silent_resolver


def test_a_host_that_is_not_answered_for_holds_nobody_and_takes_one_thread() -> None:
    resolver = Resolver()
    before = threading.active_count()
    with silent_resolver() as asked:
        for _ in range(3):
            with pytest.raises(TimeoutError, match=r"the address of silent\.example was not found within 0\.01 s"):
                resolver.addresses(SILENT, 0.01)
        assert "127.0.0.1" in resolver.addresses("localhost", PATIENCE_S), "others do not wait for it"
        assert resolver.addresses("::1", PATIENCE_S) == ["::1"], "nobody is asked"
        assert asked.hosts == [SILENT, "localhost"]
        assert threading.active_count() <= before + 2  # that of the other may end a little later
        with ThreadPoolExecutor(2) as pool:
            late = [pool.submit(resolver.addresses, SILENT, PATIENCE_S) for _ in range(2)]
            asked.answers.set()
            assert [one.result() for one in late] == [["127.0.0.1"]] * 2
        assert resolver.addresses(SILENT, PATIENCE_S) == ["127.0.0.1"]


def test_a_host_that_there_is_not() -> None:
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            Resolver().addresses("nobody.invalid", PATIENCE_S)
    with pytest.raises(UnicodeError):
        Resolver().addresses("a..b", PATIENCE_S)
