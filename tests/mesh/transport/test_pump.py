"""Reading in turns, with a loop and sockets that do only what the test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import zmq

from mesh.loop import Args
from mesh.transport import pump
from mesh.transport.pump import SHARE, Pump


class Watcher:
    active = False
    fired: Callable[[], object]

    def start(self, callback: Callable[[*Args], object], *args: *Args) -> None:
        self.active, self.fired = True, partial(callback, *args)

    def stop(self) -> None:
        self.active = False

    def close(self) -> None:
        assert not self.active

    def fire(self) -> None:
        assert self.active
        self.fired()


class Loop:
    """Timers and watchers in the order in which they were made."""

    def __init__(self) -> None:
        self.timers: list[Watcher] = []
        self.watchers: list[Watcher] = []

    def timer(self, after_s: float, repeat_s: float = 0.0, /) -> Watcher:
        self.timers.append(Watcher())
        return self.timers[-1]

    def io(self, fd: int, events: int, /) -> Watcher:
        self.watchers.append(Watcher())
        return self.watchers[-1]


class Socket:
    def __init__(self, *messages: str) -> None:
        self.messages = deque(messages)

    def getsockopt(self, option: int) -> int:
        return zmq.POLLIN if option == zmq.EVENTS and self.messages else 0

    def fetch(self) -> str:
        if not self.messages:
            raise zmq.Again
        return self.messages.popleft()


class Bench:
    def __init__(self, *sockets: Socket) -> None:
        self.loop = Loop()
        self.took: list[str] = []
        self.crashes = 0
        self.pump = Pump(self.loop, self._crash)
        self.again, self.safety = self.loop.timers
        for socket in sockets:
            self.pump.add(socket, socket.fetch, self.took.append)  # type: ignore[arg-type]

    def _crash(self) -> None:
        self.crashes += 1

    def run_again(self) -> None:
        self.again.stop()  # as the loop does with a timer that does not repeat
        self.again.fired()


def test_what_was_there_before_is_read_without_an_edge() -> None:
    bench = Bench(Socket("a", "b"))
    assert bench.took == []  # not within the call
    bench.run_again()
    assert bench.took == ["a", "b"]
    assert not bench.again.active


def test_an_edge_is_answered_at_once_and_a_lost_one_by_the_safety_poll() -> None:
    socket = Socket()
    bench = Bench(socket)
    bench.run_again()
    socket.messages.append("edge")
    bench.loop.watchers[0].fire()
    assert bench.took == ["edge"]
    socket.messages.append("no edge")
    bench.safety.fire()
    bench.run_again()
    assert bench.took == ["edge", "no edge"]
    bench.safety.fire()
    assert not bench.again.active


def test_ready_sockets_are_read_in_turn() -> None:
    bench = Bench(Socket(*["a"] * 50), Socket("b"), Socket(*["c"] * 30))
    bench.run_again()
    assert SHARE == 20
    expected = ["a"] * 20 + ["b"] + ["c"] * 20 + ["a"] * 20 + ["c"] * 10 + ["a"] * 10
    assert bench.took == expected


def test_after_a_while_the_loop_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(Socket("a", "a", "a"), Socket("b"))
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0  # at each look
        return now

    monkeypatch.setattr(pump, "TURN_S", 1.5)
    monkeypatch.setattr(pump, "time", SimpleNamespace(monotonic=clock))
    bench.run_again()
    assert bench.took == ["a"]
    bench.loop.watchers[0].fire()  # while there is more to do an edge only queues up
    assert bench.took == ["a"]
    bench.run_again()
    assert bench.took == ["a", "b"]
    for _ in range(3):
        bench.run_again()
    assert bench.took == ["a", "b", "a", "a"]


def test_a_socket_that_is_removed_while_it_is_read_is_read_no_more() -> None:
    bench = Bench()
    socket = Socket("a", "b")

    def take(message: str) -> None:
        bench.took.append(message)
        bench.pump.remove(socket)  # type: ignore[arg-type]

    bench.pump.add(socket, socket.fetch, take)  # type: ignore[arg-type]
    bench.run_again()
    assert bench.took == ["a"]
    assert not bench.loop.watchers[0].active


@pytest.mark.parametrize("error", [ValueError, zmq.Again])
def test_an_exception_in_taking_is_a_crash(error: type[Exception]) -> None:
    bench = Bench()
    socket = Socket("a")

    def take(message: str) -> None:
        raise error

    bench.pump.add(socket, socket.fetch, take)  # type: ignore[arg-type]
    bench.run_again()
    assert bench.crashes == 1


def test_after_closing_nothing_runs() -> None:
    bench = Bench(Socket("a"), Socket("b"))
    bench.pump.close()
    assert not any(watcher.active for watcher in bench.loop.timers + bench.loop.watchers)


def test_what_came_while_something_was_sent_is_found_without_an_edge() -> None:
    socket = Socket()
    bench = Bench(socket)
    bench.run_again()
    bench.pump.check(socket)  # type: ignore[arg-type]
    assert not bench.again.active
    socket.messages.append("a")
    bench.pump.check(socket)  # type: ignore[arg-type]
    bench.run_again()
    assert bench.took == ["a"]
