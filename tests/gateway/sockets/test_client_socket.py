"""One client's socket in a worker of this process: what one turn of the loop does for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import gevent
import msgspec
import pytest
from websockets.frames import Frame, Opcode

from gateway.link import events as link
from gateway.sockets.client_socket import ClientSocket
from gateway.worker import Worker
from tests.gateway.fake_node import SETTINGS
from whimbrel_server import Connection


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    one = Worker(msgspec.structs.replace(SETTINGS, link=f"ipc://{tmp_path}/nobody"))
    yield one
    while one.sessions:
        socket_of(one).end()
    one._uplink.close()


def socket_of(worker: Worker) -> ClientSocket:
    """Of its first client."""
    connection = next(iter(worker.sessions._sessions)).connection
    assert isinstance(connection, ClientSocket)
    return connection


@pytest.fixture
def client(worker: Worker) -> Iterator[socket.socket]:
    """The other end of a connection."""
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.setblocking(False)
    worker.upgraded(ours.detach(), link.JSON, Connection("1.2.3.4:5"), b"")
    with theirs:
        yield theirs


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is written, write by write."""
    found: list[bytes] = []
    write = os.write

    def written(fd: int, data: bytes) -> int:
        found.append(bytes(data))
        return write(fd, data)

    monkeypatch.setattr("gateway.sockets.client_socket.os.write", written)
    return found


def frame(opcode: Opcode, data: bytes) -> bytes:
    return Frame(opcode, data).serialize(mask=True)


def test_a_flood_of_pings_is_answered_in_one_write_and_before_the_close(
    worker: Worker, client: socket.socket, writes: list[bytes]
) -> None:
    connection = socket_of(worker)
    client.sendall(b"".join(frame(Opcode.PING, b"%d" % number) for number in range(100)))
    connection._readable()
    pongs = b"".join(Frame(Opcode.PONG, b"%d" % number).serialize(mask=False) for number in range(100))
    assert writes == [pongs]
    client.sendall(frame(Opcode.PING, b"") + frame(Opcode.CLOSE, b"\x03\xe8") + frame(Opcode.PING, b""))
    connection._readable()
    assert b"".join(writes[1:]) == b"\x8a\x00\x88\x02\x03\xe8"


def test_a_flood_of_frames_leaves_others_their_turn(worker: Worker, client: socket.socket, writes: list[bytes]) -> None:
    connection = socket_of(worker)
    client.sendall(frame(Opcode.PING, b"") * 10_000)
    connection._readable()
    (pongs,) = writes
    assert 0 < len(pongs) // 2 <= 3_000
    while len(b"".join(writes)) < 20_000:
        gevent.sleep(0.001)  # what took too long for one turn goes on in the next
        connection._readable()
    assert b"".join(writes) == b"\x8a\x00" * 10_000
