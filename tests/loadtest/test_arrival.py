"""Times of arrival, which a process that reads late still has."""

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import gevent
import gevent.socket
import pytest

from loadtest.swarm import arrival
from loadtest.swarm.sockets import Connection

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps times of arrival")
LATE_S = 0.1


@linux
def test_the_kernel_says_when_what_is_read_late_came() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as mine:
        theirs, _ = listening.accept()
        assert arrival.ask(mine)
        until = time.monotonic() + 30
        while time.monotonic() < until:  # the kernel may need a moment until it keeps times
            before = time.monotonic()
            theirs.send(b"x")
            mine.recv(1, socket.MSG_PEEK)
            came = time.monotonic()
            time.sleep(0.01)
            arrived = arrival.arrived(mine.recvmsg(1, arrival.SPACE)[1])
            if arrived <= came:
                assert arrived >= before - 0.001
                break
        else:
            pytest.fail("it never said so")
        theirs.close()


def test_without_a_time_of_arrival_it_is_now() -> None:
    before = time.monotonic()
    assert before <= arrival.arrived([]) <= time.monotonic()


class User:
    """Notes when the last frame came."""

    def __init__(self) -> None:
        self.arrived: float | None = None

    def opened(self, connection: Connection) -> None:
        pass

    def came(self, connection: Connection, arrived: float, frames: list[bytes]) -> None:
        self.arrived = arrived

    def ended(self, connection: Connection, code: int | None, reason: str) -> None:
        raise AssertionError(reason)


def read_late() -> None:
    """Read on this thread's loop what came while the thread had much to do, until the time is that of its coming."""
    user = User()
    with gevent.Timeout(30), gevent.socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        connection = Connection(user, f"ws://127.0.0.1:{listening.getsockname()[1]}", "whimbrel.v1.json")
        theirs, _ = listening.accept()
        theirs.recv(4096)
        theirs.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        sent_at = 0.0
        while user.arrived is None or user.arrived > sent_at + LATE_S / 2:  # the kernel may need a moment, as above
            user.arrived = None
            sent_at = time.monotonic()
            theirs.sendall(b"\x81\x01x")
            time.sleep(LATE_S)  # it has much to do
            while user.arrived is None:
                gevent.sleep(0.001)
        assert user.arrived >= sent_at - 0.001
        connection.close(at_once=True)
        theirs.close()


@linux
def test_a_process_that_has_much_to_do_measures_the_server_and_not_itself() -> None:
    read_late()


@linux
def test_every_thread_has_a_loop_of_its_own() -> None:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(read_late).result()
        other.submit(read_late).result()
        one.submit(read_late).result()
    read_late()
