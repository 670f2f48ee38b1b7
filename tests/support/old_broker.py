"""A real broker as an older one would be, or one that answers some requests only: a TCP proxy before it that hides
versions of its protocol, or topics' ids, and drops answers.

What goes through it stays on it: it puts its own address wherever a broker tells one.

Not here: the broker (loadtest/kafka/broker.py).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

PRODUCE, FETCH, LIST_OFFSETS, METADATA, FIND_COORDINATOR, API_VERSIONS = 0, 1, 2, 3, 10, 18
"""Kinds of requests, as Kafka numbers them."""
KAFKA_2_7 = {PRODUCE: 8, FETCH: 12, LIST_OFFSETS: 5, METADATA: 9, 22: 4, 32: 3}
"""The newest versions that Kafka 2.7 knows of what a node asks for: the last without topic ids. (Produce, Fetch,
ListOffsets, Metadata, InitProducerId, DescribeConfigs.)
"""
WITHOUT_IDS = {FETCH: 12}
"""Newer brokers of other makers: they have a field for the id, and nothing in it."""


class OldBroker:
    """The proxy, on a free port. A context manager."""

    def __init__(self, bootstrap: str, newest: Mapping[int, int], hides_ids: bool = False) -> None:
        """Prepare.

        Args:
            bootstrap: Of the one broker.
            newest: The newest version that is admitted of requests of each kind; of others all are.
            hides_ids: Whether topics' ids in lists of topics are the zero id.
        """
        host, _, port = bootstrap.rpartition(":")
        self._broker = (host, int(port))
        self._newest = newest
        self._hides_ids = hides_ids
        self.mute: set[int] = set()
        """Kinds of requests whose answers are dropped."""
        self.asked = Counter[tuple[int, int]]()
        """How many requests of each kind and version there were."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{self.port}"

    def __enter__(self) -> OldBroker:
        _start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def count(self, kind: int) -> int:
        """Of requests of a kind."""
        return sum(count for (one, _), count in self.asked.items() if one == kind)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._broker)
                self._sockets += [client, broker]
                kinds: dict[bytes, tuple[int, int]] = {}
                _start(self._forward, client, broker, lambda frame, kinds=kinds: self._request(kinds, frame))
                _start(self._forward, broker, client, lambda frame, kinds=kinds: self._answer(kinds, frame))

    def _forward(self, source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes | None]) -> None:
        with suppress(OSError, EOFError):
            while True:
                (size,) = struct.unpack(">i", _read(source, 4))
                frame = change(_read(source, size))
                if frame is not None:
                    sink.sendall(struct.pack(">i", len(frame)) + frame)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _request(self, kinds: dict[bytes, tuple[int, int]], frame: bytes) -> bytes:
        kind, version = struct.unpack_from(">hh", frame)
        kinds[frame[4:8]] = (kind, version)
        self.asked[kind, version] += 1
        return frame

    def _answer(self, kinds: dict[bytes, tuple[int, int]], frame: bytes) -> bytes | None:
        kind, version = kinds.pop(frame[:4])
        if kind in self.mute:
            return None
        if kind == API_VERSIONS:
            return self._with_versions(frame, version)
        if kind == FIND_COORDINATOR:
            return self._with_own_coordinator(frame, version)
        return self._with_own_address(frame, version) if kind == METADATA else frame

    def _with_versions(self, frame: bytes, version: int) -> bytes:
        """Correlation id and error, then an array of (kind, oldest, newest); behind each a byte if it is compact."""
        changed = bytearray(frame)
        if version >= 3:
            count, at = _varint(frame, 6)
            count, step = count - 1, 7
        else:
            (count,), at, step = struct.unpack_from(">i", frame, 6), 10, 6
        for one in range(at, at + step * count, step):
            kind, oldest, newest = struct.unpack_from(">hhh", frame, one)
            struct.pack_into(">hhh", changed, one, kind, oldest, min(newest, self._newest.get(kind, newest)))
        return bytes(changed)

    def _with_own_address(self, frame: bytes, version: int) -> bytes:
        """Correlation id, tags, throttle time, then brokers: id, host, port, rack, tags. All in compact form."""
        assert version >= 9, f"lists of topics in version {version} are not known here"
        changed = bytearray(frame)
        brokers, at = _varint(frame, 9)
        for _ in range(brokers - 1):
            host, at = _varint(frame, at + 4)
            at += host - 1
            assert frame[at - host + 1 : at] == b"127.0.0.1", "only the port is replaced"
            struct.pack_into(">i", changed, at, self.port)
            rack, at = _varint(frame, at + 4)
            at += max(rack - 1, 0) + 1
        if self._hides_ids and version >= 10:
            for where in _ids_of_topics(frame, at):
                changed[where : where + 16] = bytes(16)
        return bytes(changed)

    def _with_own_coordinator(self, frame: bytes, version: int) -> bytes:
        """Correlation id, throttle time, error and its text, then the broker: id, host, port."""
        assert version in (1, 2), f"answers of FindCoordinator in version {version} are not known here"
        changed = bytearray(frame)
        at = 10
        for before in (0, 4):
            (length,) = struct.unpack_from(">h", frame, at + before)
            at += before + 2 + max(length, 0)
        struct.pack_into(">i", changed, at, self.port)
        return bytes(changed)


def _ids_of_topics(frame: bytes, at: int) -> Iterable[int]:
    """Where the ids of topics are, in an answer whose brokers end at `at`."""
    cluster, at = _varint(frame, at)
    topics, at = _varint(frame, at + max(cluster - 1, 0) + 4)
    for _ in range(topics - 1):
        name, at = _varint(frame, at + 2)
        at += max(name - 1, 0)
        yield at
        partitions, at = _varint(frame, at + 16 + 1)
        for _ in range(partitions - 1):
            at += 2 + 4 + 4 + 4
            for _ in range(3):  # replicas, those in sync, those that are away
                nodes, at = _varint(frame, at)
                at += 4 * (nodes - 1)
            at += 1
        at += 4 + 1


def _varint(frame: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = frame[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _read(source: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        more = source.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return bytes(found)


def _start(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()
