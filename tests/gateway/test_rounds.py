"""A worker sends to its clients in rounds: all else has its turn in between, and what comes meanwhile is merged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import msgspec
import pytest

from gateway import worker
from gateway.link.events import JSON
from gateway.sessions.session import Session
from gateway.uplink import Uplink
from tests.gateway.fake_node import SETTINGS
from tests.support.patience import PATIENCE_S
from whimbrel_server import Connection


class Socket:
    """Takes what is sent, or the close."""

    waiting_bytes = 0

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.taken.append(data)

    def close(self, code: int, reason: str) -> None:
        self.taken.append(b"close")

    def resume_reading(self) -> None:
        pass


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[worker.Worker]:
    """A worker that has no time at all to send more than one client something."""
    monkeypatch.setattr(worker, "SENDING_S", 0.0)
    made = worker.Worker(msgspec.structs.replace(SETTINGS, link=f"ipc://{tmp_path}/nobody"))
    yield made
    made._rest.close()
    made._uplink.close()
    made._server.close()


def client(one: worker.Worker) -> tuple[Session, list[bytes]]:
    socket = Socket()
    return one.sessions.connected(one.now(), JSON, Connection("127.0.0.1:1"), socket), socket.taken


def until_all_is_sent(one: worker.Worker) -> None:
    until = time.monotonic() + PATIENCE_S
    while (one._round is not None or one._outputs.are_urgent) and time.monotonic() < until:
        gevent.sleep(0.001)


def test_what_comes_while_clients_are_sent_to_is_merged_and_stays_in_order(one: worker.Worker) -> None:
    clients = [client(one) for _ in range(4)]
    for session, _ in clients:
        one._outputs.send(session, b"1")
    one.flush()
    assert [taken for _, taken in clients] == [[b"1"], [], [], []]
    for more in (b"2", b"3"):
        for session, _ in clients:
            one._outputs.send(session, more)
        one.flush()
    assert [taken for _, taken in clients] == [[b"1"], [], [], []], "all else has its turn first"
    until_all_is_sent(one)
    assert [taken for _, taken in clients] == [[b"1", b"23"]] * 4


def test_a_close_leaves_behind_what_was_sent_before(one: worker.Worker) -> None:
    (first, _), (second, taken) = client(one), client(one)
    one._outputs.send(first, b"1")
    one.flush()
    for session in (first, second):
        one._outputs.send(session, b"2")
    one.sessions.close(second, 4000, "why")
    until_all_is_sent(one)
    one.flush()
    until_all_is_sent(one)
    assert taken == [b"2", b"close"]


def test_a_client_that_says_goodbye_gets_what_there_is_for_it(one: worker.Worker) -> None:
    clients = [client(one) for _ in range(4)]
    for session, _ in clients:
        one._outputs.send(session, b"1")
    one.flush()
    one._outputs.send(clients[3][0], b"2")
    one.finish()
    assert clients[3][1] == [b"1", b"2"]


def test_packets_are_taken_once_their_messages_have_left(one: worker.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(Uplink, "done", lambda _, mark: done.append(mark))
    session = client(one)[0], client(one)[0]
    for number in (1, 2):
        one._uplink.handed_over = one._uplink._fetched = number, number
        for each in session:
            one._outputs.send(each, b"1")
        one.flush()
        assert (number, number) not in done
    until_all_is_sent(one)
    assert done[0] == (1, 1)
    assert done[-1] == (2, 2)
