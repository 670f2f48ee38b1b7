"""Who takes new connections, and what happens to them when there are no places or no descriptors left."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Callable

import pytest

from gateway.http.listeners import ROOM, sockets_for
from gateway.link import events as link
from tests.gateway.fake_node import Client, FakeNode, Refused

pytestmark = pytest.mark.slow
WAIT_S = 30.0
HERD = 6_000


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_refused(node: FakeNode) -> bool:
    """Whether a new client is refused; one that is not leaves again."""
    try:
        node.client().close()
    except Refused:
        return True
    return False


def listening(node: FakeNode) -> int:
    """How many workers listen on the node's port."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    sockets = sum(row[3] == "0A" and int(row[1].split(":")[1], 16) == node.settings.port for row in rows)
    return sockets // sockets_for(ROOM)


def test_a_full_worker_leaves_new_clients_to_the_others_until_it_has_room() -> None:
    with FakeNode(connections_max=2) as small, FakeNode(port=small.settings.port) as large:
        small.say(link.Room(True))
        clients = [large.client() for _ in range(40)]  # the kernel spreads them: none is refused
        small.counted(WAIT_S, connections=2, connections_max=2)
        large.counted(WAIT_S, connections=38)
        until(lambda: listening(large) == 1)
        small.say(link.Room(False))
        until(lambda: listening(large) == 2)
        until(lambda: is_refused(large))
        small.say(link.Room(True))
        until(lambda: listening(large) == 1)
        for client in clients:
            client.close()
        until(lambda: listening(large) == 2)
        assert not any(is_refused(large) for _ in range(20))


def test_without_others_a_full_worker_answers_that_it_is_full() -> None:
    with FakeNode(connections_max=1) as node:
        client = node.client()
        assert is_refused(node)
        client.send({"op": "ping", "id": 3})
        assert client.receive() == {"op": "pong", "id": 3}
        client.close()
        until(lambda: not is_refused(node))


def test_without_descriptors_who_is_there_is_unharmed_and_who_comes_waits() -> None:
    with FakeNode() as node:
        here = node.client()
        pid = node.process.pid
        limit = len(os.listdir(f"/proc/{pid}/fd")) + 5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
        silent = [socket.create_connection(("127.0.0.1", node.settings.port)) for _ in range(20)]
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) == limit)
        here.send({"op": "ping", "id": 3})
        assert here.receive(WAIT_S) == {"op": "pong", "id": 3}
        node.go_live(here)
        for one in silent:
            one.close()
        late = Client(node.url)
        late.send({"op": "ping", "id": 3})
        assert late.receive(WAIT_S) == {"op": "pong", "id": 3}


def test_a_worker_may_open_as_many_files_as_the_system_lets_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = len(os.listdir("/proc/self/fd"))  # tests that ran here before have kept some: reservations of ports
    resource.setrlimit(resource.RLIMIT_NOFILE, (here + 100, hard))
    try:
        node = FakeNode(connections_max=10_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with node:
        assert resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        node.counted(WAIT_S, connections_max=hard - 256)


def test_all_clients_of_a_worker_may_come_at_once() -> None:
    """More than the queue of one socket holds wait to be accepted, while the worker does nothing."""
    with FakeNode() as node:
        os.kill(node.process.pid, signal.SIGSTOP)
        waiting = [socket.socket() for _ in range(HERD)]
        try:
            for index, one in enumerate(waiting):
                one.bind((f"127.3.0.{1 + index % 8}", 0))
                one.settimeout(WAIT_S)
                one.connect(("127.0.0.1", node.settings.port))
                one.sendall(b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
            os.kill(node.process.pid, signal.SIGCONT)
            for one in waiting:
                assert one.recv(12) == b"HTTP/1.1 200"
        finally:
            os.kill(node.process.pid, signal.SIGCONT)
            for one in waiting:
                one.close()
