"""Messages in pieces arrive whole, once and in order, whatever the path does to pieces and to acknowledgements."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from mesh.slots.pieces import QUEUE_BYTES_MAX, REPEAT_S_MIN, STUCK_S, WINDOW, Held, Piece, PieceReceiver, PieceSender

PIECE_BYTES = 100


class Path:
    """Both ends, and datagrams between them that get lost, doubled and overtaken."""

    def __init__(self, loss: float, seed: int = 1) -> None:
        self.now = 0.0
        self.outgoing = PieceSender(0.0, "b1", 1, PIECE_BYTES)
        self.incoming = PieceReceiver("a1")
        self.arrived: list[bytes] = []
        self.pieces = 0
        self._loss = loss
        self._rng = Random(seed)
        self._due: list[tuple[float, int, Piece | Held]] = []
        self._count = 0

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 200)):
            self.now += 0.005
            for piece in self.outgoing.take(self.now):
                self.pieces += 1
                self._send(piece)
            has_come = False
            while self._due and self._due[0][0] <= self.now:
                came = heapq.heappop(self._due)[2]
                if isinstance(came, Held):
                    self.outgoing.held(self.now, came)
                else:
                    self.arrived += self.incoming.take(came)
                    has_come = True
            if has_come:
                self._send(self.incoming.held())

    def _send(self, what: Piece | Held) -> None:
        for _ in range(1 + (self._rng.random() < self._loss)):
            if self._rng.random() >= self._loss:
                self._count += 1
                delay_s = 0.002 + (self._rng.random() * 0.02 if self._loss else 0)
                heapq.heappush(self._due, (self.now + delay_s, self._count, what))


def messages(count: int, seed: int = 1) -> list[bytes]:
    rng = Random(seed)
    return [rng.randbytes(rng.choice([0, 1, 50, 99, 100, 101, 250, 5_000])) for _ in range(count)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3])
def test_everything_arrives_once_and_in_order(loss: float, seed: int) -> None:
    path = Path(loss, seed)
    sent = messages(60, seed)
    for message in sent:
        assert path.outgoing.offer(message)
        path.run(0.01)
    path.run(20)
    assert path.arrived == sent


def test_a_path_that_loses_nothing_carries_each_piece_once() -> None:
    path = Path(0.0)
    path.outgoing.offer(bytes(100 * PIECE_BYTES))
    path.run(2)
    assert (len(path.arrived), path.pieces) == (1, 100)


def test_no_more_is_on_its_way_than_the_window_and_what_waits_is_bounded() -> None:
    outgoing = PieceSender(0.0, "b1", 1, PIECE_BYTES)
    assert outgoing.offer(bytes(2 * QUEUE_BYTES_MAX)), "one that is larger than the queue goes if nothing waits"
    assert not outgoing.offer(b"x")
    assert len(outgoing.take(0.0)) == WINDOW
    assert outgoing.take(REPEAT_S_MIN / 2) == []


def test_what_is_not_acknowledged_is_repeated_less_and_less_often_and_given_up() -> None:
    outgoing = PieceSender(0.0, "b1", 1, PIECE_BYTES)
    outgoing.offer(b"x")
    sent_at = [step / 100 for step in range(299) if outgoing.take(step / 100)]
    assert 3 <= len(sent_at) <= 6, sent_at
    assert not outgoing.is_stuck(STUCK_S - 0.1)
    assert outgoing.is_stuck(STUCK_S)


def test_another_stream_begins_anew_and_an_older_one_is_over() -> None:
    incoming = PieceReceiver("a1")
    assert incoming.take(Piece("b1", 1, 0, False, b"half of ")) == []
    assert incoming.take(Piece("b1", 2, 0, True, b"whole")) == [b"whole"]
    assert incoming.take(Piece("b1", 1, 1, True, b"it")) == []
    assert incoming.held() == Held("a1", 2, 1, [])


def test_what_is_missing_is_named() -> None:
    incoming = PieceReceiver("a1")
    for number in (0, 2, 5):
        incoming.take(Piece("b1", 1, number, True, b""))
    assert incoming.held() == Held("a1", 1, 6, [1, 3, 4])
    incoming.take(Piece("b1", 1, 10_000, True, b""))
    assert incoming.held().until == 6, "far ahead of what there is: it is not kept"


def test_of_a_message_without_end_no_more_is_kept_than_a_message_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.slots.pieces.MESSAGE_BYTES_MAX", 1_000)
    incoming = PieceReceiver("a1")
    for number in range(100):
        assert incoming.take(Piece("b1", 1, number, False, bytes(100))) == []
    assert incoming._parts_bytes <= 1_000
