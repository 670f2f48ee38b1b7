"""The switch of the lab (network.py): a program that carries IP packets between hosts, as well as its rules let it.

It runs in a process of its own, so that the load of a test does not delay it. Each host is a TUN device, of which this
process holds the other end. A packet's addresses say which rule is its; without one it goes on at once.

    standard input     commands, a line of JSON each: {"rules": {"a>b": {"loss": 0.1}}}, {"counts": true}
    standard output    one line for each command, when it is done
    arguments          a seed, and HOST=ADDRESS=DESCRIPTOR for each host; several hosts may share a descriptor

Only the standard library is used: it must start quickly and need nothing.

Not here: namespaces and devices (network.py).
"""

from __future__ import annotations

import heapq
import json
import os
import select
import socket
import sys
import time
from dataclasses import dataclass
from random import Random

READS_MAX = 64
"""Packets taken from one host before the next one has its turn."""
PACKET_MAX = 65536
HOLD_MS = (5.0, 25.0)
"""How much longer a packet stays that others are to overtake."""
QUEUE_S = 0.5
"""What a slow link holds before it drops: so long a queue has a router."""
WAITING_MAX = 50_000
"""Packets on their way, all links together; more are dropped."""


@dataclass(slots=True)
class Rule:
    """What happens to packets from one host to another."""

    cut: bool = False
    cut_tcp: bool = False
    """Nothing of TCP passes, as behind a firewall that lets only datagrams through."""
    cut_udp: bool = False
    """Nothing of UDP passes, as where somebody opened a firewall for TCP alone."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Up to so much is added to the delay, by chance; the order stays."""
    loss: float = 0.0
    """The share of packets that vanish."""
    duplicate: float = 0.0
    reorder: float = 0.0
    """The share of packets that are held back, so that later ones overtake them."""
    bytes_per_s: float = 0.0
    """0: no limit."""
    last_due: float = 0.0
    is_free_at: float = 0.0

    def fates(self, now: float, packet: bytes, rng: Random) -> list[float]:
        """When a packet is to arrive: never, once, or twice."""
        protocol = packet[9]
        is_cut = (self.cut_tcp and protocol == socket.IPPROTO_TCP) or (self.cut_udp and protocol == socket.IPPROTO_UDP)
        if self.cut or is_cut or rng.random() < self.loss:
            return []
        if self.bytes_per_s:
            if self.is_free_at - now > QUEUE_S:
                return []
            self.is_free_at = max(now, self.is_free_at) + len(packet) / self.bytes_per_s
        due = max(now, self.is_free_at) + (self.delay_ms + rng.uniform(0, self.jitter_ms)) / 1000
        if rng.random() < self.reorder:
            found = [due + rng.uniform(*HOLD_MS) / 1000]
        else:
            due = self.last_due = max(due, self.last_due)
            found = [due]
        return found * 2 if rng.random() < self.duplicate else found


class Switch:
    """All hosts, the rules, and the packets on their way."""

    def __init__(self, hosts: dict[str, tuple[bytes, int]], seed: int) -> None:
        """`hosts`: name -> address and descriptor."""
        self._addresses = {name: address for name, (address, _) in hosts.items()}
        self._names = {address: name for name, address in self._addresses.items()}
        self._exits = dict(hosts.values())
        self._entries = sorted(set(self._exits.values()))
        self._rules: dict[bytes, Rule] = {}
        self._counts: dict[bytes, list[int]] = {}
        """Source and destination -> packets carried, bytes carried, packets dropped."""
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._number = 0
        self._rng = Random(seed)

    def run(self) -> None:
        """Until standard input ends."""
        commands = sys.stdin.fileno()
        epoll = select.epoll()
        for one in (*self._entries, commands):
            epoll.register(one, select.EPOLLIN)
        text = b""
        while True:
            timeout_s = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else -1
            for ready, _ in epoll.poll(timeout_s):
                if ready != commands:
                    self._take(ready)
                    continue
                got = os.read(commands, PACKET_MAX)
                if not got:
                    return
                *lines, text = (text + got).split(b"\n")
                for line in lines:
                    print(json.dumps(self._command(json.loads(line))), flush=True)
            if self._waiting:
                self._release()

    def _command(self, command: dict[str, dict[str, dict[str, float]]]) -> dict[str, list[int]]:
        if "rules" in command:
            self._rules = {self._pair(pair): Rule(**rule) for pair, rule in command["rules"].items()}  # type: ignore[arg-type]
            return {}
        found = {}
        for pair, count in self._counts.items():
            source, destination = self._names.get(pair[:4]), self._names.get(pair[4:])
            if source and destination:
                found[f"{source}>{destination}"] = count
        return found

    def _pair(self, text: str) -> bytes:
        source, _, destination = text.partition(">")
        return self._addresses[source] + self._addresses[destination]

    def _take(self, entry: int) -> None:
        rules, exits, counts = self._rules, self._exits, self._counts
        for _ in range(READS_MAX):
            try:
                packet = os.read(entry, PACKET_MAX)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue  # IPv6 looks for neighbours of its own accord
            pair = packet[12:20]
            leave = exits.get(pair[4:])
            if leave is None:
                continue
            count = counts.setdefault(pair, [0, 0, 0])
            rule = rules.get(pair)
            if rule is None:
                self._give(leave, packet, count)
                continue
            now = time.monotonic()
            fates = rule.fates(now, packet, self._rng)
            if not fates or len(self._waiting) > WAITING_MAX:
                count[2] += 1
            for due in fates:
                if due <= now:
                    self._give(leave, packet, count)
                else:
                    self._number += 1
                    heapq.heappush(self._waiting, (due, self._number, leave, packet))

    def _release(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, leave, packet = heapq.heappop(self._waiting)
            self._give(leave, packet, self._counts[packet[12:20]])

    def _give(self, leave: int, packet: bytes, count: list[int]) -> None:
        try:
            os.write(leave, packet)
        except OSError:  # the device is full or down: as on a real network, it is gone
            count[2] += 1
        else:
            count[0] += 1
            count[1] += len(packet)


def main() -> None:
    seed, *hosts = sys.argv[1:]
    found = {}
    for one in hosts:
        name, address, descriptor = one.split("=")
        os.set_blocking(int(descriptor), False)
        found[name] = (socket.inet_aton(address), int(descriptor))
    os.nice(-10)
    Switch(found, int(seed)).run()


if __name__ == "__main__":
    main()
