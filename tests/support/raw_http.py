"""An HTTP server whose answers a test makes byte by byte, as slowly, long and wrong as it likes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, cycle, repeat

PAUSE_S = 0.02
"""Between the pieces of an answer that drips."""


class RawServer:
    """Answers each request with the pieces of `answer`, and hangs up. A context manager.

    Args:
        is_slow: Whether there is a pause after each piece.
    """

    def __init__(self, answer: Callable[[str], Iterable[bytes]], is_slow: bool = False) -> None:
        """`answer` is given the path."""
        self.paths: list[str] = []
        """What was asked for."""
        self._answer = answer
        self._is_slow = is_slow
        self._is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._served: list[tuple[socket.socket, threading.Thread]] = []

    def __enter__(self) -> RawServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one, thread in self._served:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one = self._listener.accept()[0]
                thread = threading.Thread(target=self._serve, args=[one])
                self._served.append((one, thread))
                thread.start()

    def _serve(self, one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                piece = one.recv(65536)
                if not piece:
                    return
                asked += piece
            path = asked.split()[1].decode()
            self.paths.append(path)
            for piece in self._answer(path):
                one.sendall(piece)
                if self._is_over.wait(PAUSE_S if self._is_slow else 0):
                    return
            one.shutdown(socket.SHUT_WR)
            while one.recv(65536):
                pass


def whole(body: bytes, status: str = "200 OK", *headers: str) -> list[bytes]:
    """A usual answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return ["\r\n".join(lines).encode(), body]


def endless(body: bytes) -> Iterator[bytes]:
    """One that does not end."""
    return chain([b"HTTP/1.1 200 OK\r\n\r\n"], repeat(body))


DRIPS: dict[str, Callable[[], Iterator[bytes]]] = {
    "status": lambda: chain([b"HTTP/1.1 200 "], repeat(b"O")),
    "headers": lambda: chain([b"HTTP/1.1 200 OK\r\nX: "], repeat(b"x")),
    "continue": lambda: repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": lambda: endless(b" "),
    "chunks": lambda: chain([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], cycle([b"1\r\n", b" \r\n"])),
}
"""Answers that go on coming and are never there, by what does not end."""
