"""One UDP socket in the loop: datagrams for a member, and its clock.

Nothing blocks. The socket is drained by a watcher, for a bounded time per turn. A datagram that the kernel does not
take is dropped and counted; membership lives with loss. Addresses that are IP literals are used as they are. Host
names are resolved by gevent's resolver in a greenlet of their own, again every half minute; what is sent to one that
is not resolved yet is dropped and counted.

A datagram that cannot be handled, because of a fault of ours, is logged, counted and dropped: it may come again, and
must not cost more than itself. A fault in a tick ends the process: it would come with each.

A tick drains the socket first, so that an answer that came in time is never overtaken by its own deadline.

Not here: everything that is decided (membership.py, seal.py).
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Sequence

import gevent
import msgspec
from gevent import get_hub

from mesh.loop import READ, Watchers
from mesh.membership.link import MembershipLink
from mesh.membership.packets import MembershipEvent, Sender
from mesh.membership.seal import DATAGRAM_BYTES_MAX
from mesh.transport.addresses import SocketAddress, cannot_listen, join_address, split_address

log = logging.getLogger(__name__)

TICK_S = 0.05
TURN_S = 0.01
"""How long one turn of draining may take."""
PAUSE_S = 0.0001
"""Zero would not let the loop look at its sockets in between."""
RESOLVE_AGAIN_S = 30.0
RESOLVE_RETRY_S = 1.0
BUFFER_BYTES = 1 << 20
"""A whole view of a large cluster is a burst of many datagrams."""
NAMES_MAX = 1_000
FAULTS_SHOWN_S = 10.0
"""Between log lines about datagrams that could not be handled."""


class UdpStats(msgspec.Struct):
    """Counters since the start."""

    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    dropped: int = 0
    """Not taken by the kernel."""
    unresolved: int = 0
    """For a host name without an address."""
    failed: int = 0
    """Came, and could not be handled, by a fault of ours."""


class _Name(msgspec.Struct):
    """A host and port, and where it is."""

    resolved: SocketAddress | None = None
    again_at: float = 0.0
    """When to ask again; infinite for a literal."""
    is_asking: bool = False


class Udp:
    """The socket, the ticks and the names of one member.

    `on_events` is called in the loop with what happened, in order, `on_carried` with what else has come. Call `start`
    once and `close` once.
    """

    def __init__(
        self,
        host: str,
        port: int,
        link: MembershipLink,
        on_events: Callable[[list[MembershipEvent]], None],
        crash: Callable[[], None],
        on_carried: Callable[[list[tuple[Sender, bytes]]], None] = lambda carried: None,
    ) -> None:
        self._link = link
        self._on_events = on_events
        self._on_carried = on_carried
        self._crash = crash
        """Ends the process because of the current exception."""
        self._fault_shown_at = -FAULTS_SHOWN_S
        self.stats = UdpStats()
        self._socket = _bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._is_ipv6 = self._socket.family == socket.AF_INET6
        self._names: dict[str, _Name] = {}
        loop: Watchers = get_hub().loop
        self._watcher = loop.io(self._socket.fileno(), READ)
        self._again = loop.timer(PAUSE_S)
        self._timer = loop.timer(TICK_S, TICK_S)

    def start(self, join: Sequence[str]) -> None:
        """Begin to receive and to tick, and join by these addresses."""
        self._watcher.start(self._receive)
        self._timer.start(self._tick)
        self._link.join(time.monotonic(), join)
        self._flush()

    def set_meta(self, meta: bytes) -> None:
        self._link.set_meta(time.monotonic(), meta)
        self._flush()

    def carry(self, address: str, payload: bytes) -> None:
        """Send something that is not membership's to the member at an address."""
        self._link.carry(address, payload)
        for to, datagram in self._link.take_sends():
            self._send(to, datagram)

    def host(self, address: str) -> str | None:
        """The IP address of the host of an address, as far as that is known now; IPv6 in brackets."""
        where = self._resolve(address)
        return join_address(where[0], where[1]).rpartition(":")[0] if where is not None else None

    def leave(self) -> None:
        """Say goodbye; close half a second later, so that those hear it who are not told directly."""
        self._link.leave(time.monotonic())
        self._flush()

    def close(self) -> None:
        for watcher in (self._watcher, self._again, self._timer):
            watcher.stop()
            watcher.close()
        self._socket.close()

    def _tick(self) -> None:
        try:
            self._drain(time.monotonic() + TURN_S)
            self._link.tick(time.monotonic())
            self._flush()
        except Exception:
            self._crash()

    def _receive(self) -> None:
        try:
            if not self._drain(time.monotonic() + TURN_S):
                self._again.start(self._receive)
        except Exception:
            self._crash()

    def _drain(self, until: float) -> bool:
        """Read what there is; False if time was up before the end."""
        try:
            while True:
                data, source = self._socket.recvfrom(DATAGRAM_BYTES_MAX + 1)
                self.stats.received += 1
                self.stats.received_bytes += len(data)
                now = time.monotonic()
                self._take(now, source, data)
                self._flush()
                if now >= until:
                    return False
        except BlockingIOError:
            return True
        except OSError:
            return True  # an error of an earlier send that the kernel reports here; nothing is lost by it

    def _take(self, now: float, source: SocketAddress, data: bytes) -> None:
        try:
            self._link.receive(now, join_address(source[0], source[1]), data)
        except Exception:
            self.stats.failed += 1
            if now - self._fault_shown_at >= FAULTS_SHOWN_S:
                self._fault_shown_at = now
                fields = {"address": source[0], "bytes": len(data), "so_far": self.stats.failed}
                log.error("datagram_failed", exc_info=True, extra={"fields": fields})

    def _flush(self) -> None:
        for address, datagram in self._link.take_sends():
            self._send(address, datagram)
        events = self._link.take_events()
        if events:
            self._on_events(events)
        carried = self._link.take_carried()
        if carried:
            self._on_carried(carried)

    def _send(self, address: str, datagram: bytes) -> None:
        where = self._resolve(address)
        if where is None:
            self.stats.unresolved += 1
            return
        try:
            self._socket.sendto(datagram, where)
        except OSError:
            self.stats.dropped += 1
            return
        self.stats.sent += 1
        self.stats.sent_bytes += len(datagram)

    def _resolve(self, address: str) -> SocketAddress | None:
        """The socket address of a name, or None while it is not resolved."""
        name = self._names.get(address)
        if name is None:
            if len(self._names) >= NAMES_MAX:
                self._names.clear()
            name = self._names[address] = self._literal(address)
        if not name.is_asking and time.monotonic() >= name.again_at:
            name.is_asking = True
            gevent.spawn(self._ask, address, name)
        return name.resolved

    def _literal(self, address: str) -> _Name:
        try:
            host, port = split_address(address)
        except ValueError:
            return _Name(again_at=float("inf"))
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            return _Name()
        if self._is_ipv6 and ip.version == 4:
            host = f"::ffff:{host}"
        elif not self._is_ipv6 and ip.version == 6:
            return _Name(again_at=float("inf"))
        return _Name(resolved=(host, port), again_at=float("inf"))

    def _ask(self, address: str, name: _Name) -> None:
        host, port = split_address(address)
        flags = socket.AI_V4MAPPED if self._is_ipv6 else 0
        try:
            found = get_hub().resolver.getaddrinfo(host, port, self._socket.family, socket.SOCK_DGRAM, 0, flags)
            name.resolved = found[0][4]
            name.again_at = time.monotonic() + RESOLVE_AGAIN_S
        except (OSError, UnicodeError):  # the second: what cannot be a host name
            name.again_at = time.monotonic() + RESOLVE_RETRY_S
        finally:
            name.is_asking = False


def _bound(host: str, port: int) -> socket.socket:
    """A socket bound there; that host is this machine's, so looking it up does not wait for the network."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, where = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        bound.setblocking(False)
        bound.bind(where)
    except OSError as error:
        bound.close()
        raise cannot_listen(host, port, error.errno) from error
    return bound
