"""A lab: hosts with a network between them that can be cut, slowed and spoilt while programs run.

Each host is a network namespace with a TUN device; a switch in user space (network_switch.py) carries the packets
between them and obeys rules, one for each ordered pair of hosts. So the kernel needs no `netem` and no packet filter,
but the network behaves as a real one does: packets vanish, TCP repeats itself, nothing says that a line is cut.

The test itself is on the network too, as the hosts of `outside`: addresses of this machine's own namespace, from which
the test reaches the hosts and at which they reach what runs there (such as a Kafka that listens on that address).
What the outside hosts say to each other does not pass through the switch.

Addresses are from 198.18.0.0/15, which is set aside for such tests (RFC 2544). Everything is gone at the end; what a
run that was killed has left is removed by the next one.

Not here: what runs on the hosts (cluster.py).
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import SystemRandom
from typing import TypeAlias

from loadtest.kafka.processes import start_process
from tests.support import network_switch
from tests.support.network_switch import Rule

PREFIX = "whimbrel-lab"
MTU = 1500

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_numbers = itertools.count(1)

Pair: TypeAlias = tuple[str, str]


class Network:
    """The lab. A context manager; needs `require("netns")`."""

    def __init__(self, names: Sequence[str], outside: Sequence[str] = ("test",), seed: int = 1) -> None:
        """Prepare; nothing is there before `start`.

        Args:
            names: Hosts, each in a namespace of its own.
            outside: Hosts that are this process's own namespace, under several names, so that rules can tell them
                apart. Connections from here come from the first of them.
            seed: Of the chance with which packets are lost, repeated and held back.
        """
        self.names = tuple(names)
        self.outside = tuple(outside)
        self._id = f"{os.getpid()}-{next(_numbers)}"
        self._seed = seed
        self._rules: dict[Pair, dict[str, float]] = {}
        self._switch: subprocess.Popen[bytes] | None = None
        net = unused_net()
        self.addresses = {name: f"{net}.{number}" for number, name in enumerate((*self.outside, *self.names), 1)}
        """By name of the host."""

    def namespace(self, name: str) -> str:
        """The namespace of a host, as `ip netns` knows it."""
        return f"{PREFIX}-{self._id}-{name}"

    def command(self, name: str) -> list[str]:
        """What to put before a command that is to run on this host."""
        return ["ip", "netns", "exec", self.namespace(name)]

    def start(self) -> None:
        """Make everything; all hosts reach each other then."""
        remove_leftovers()
        descriptors: list[int] = []
        arguments = []
        lines = []
        try:
            descriptor, device = _new_tun()
            descriptors.append(descriptor)
            lines += [f"addr add {self.addresses[name]}/32 dev {device}" for name in self.outside]
            lines += [f"link set {device} mtu {MTU} txqueuelen 5000 up"]
            source = self.addresses[self.outside[0]]
            lines += [f"route add {self.addresses[name]}/32 dev {device} src {source}" for name in self.names]
            arguments += [f"{name}={self.addresses[name]}={descriptor}" for name in self.outside]
            for name in self.names:
                descriptor, device = _new_tun()
                descriptors.append(descriptor)
                arguments.append(f"{name}={self.addresses[name]}={descriptor}")
                lines += [f"netns add {self.namespace(name)}", f"link set {device} netns {self.namespace(name)}"]
            _ip(lines)
            for name in self.names:
                self._set_up(name)
            self._switch = start_process(
                [sys.executable, network_switch.__file__, str(self._seed), *arguments],
                pass_fds=descriptors,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        finally:
            for descriptor in descriptors:
                os.close(descriptor)  # the switch has them now: with its end they are gone
        self._tell({"rules": {}})

    def stop(self) -> None:
        """Remove everything. Programs on the hosts should have ended."""
        if self._switch is not None:
            self._switch.kill()
            self._switch.communicate()
            self._switch = None
        _delete([self.namespace(name) for name in self.names])

    def __enter__(self) -> Network:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Rules. They hold for packets that are sent from then on.

    def set(self, source: str, destination: str, **rule: float) -> None:
        """The rule for one direction, instead of what it was. Keys as of `network_switch.Rule`; none: no rule."""
        self.set_many([(source, destination)], **rule)

    def set_many(self, pairs: Iterable[Pair], **rule: float) -> None:
        """The same rule for several directions, at one instant."""
        Rule(**rule)  # type: ignore[arg-type]  # a wrong key is found here rather than in the switch
        for pair in pairs:
            self._rules.pop(pair, None)
            if rule:
                self._rules[pair] = rule
        self._tell({"rules": {f"{a}>{b}": one for (a, b), one in self._rules.items()}})

    def set_all(self, among: Sequence[str] | None = None, **rule: float) -> None:
        """The same rule for all directions among some hosts (default: all that are in namespaces)."""
        self.set_many(itertools.permutations(self.names if among is None else among, 2), **rule)

    def cut(self, some: Sequence[str], others: Sequence[str]) -> None:
        """Nothing passes between these and those, in either direction."""
        self.set_many([pair for a in some for b in others for pair in ((a, b), (b, a))], cut=True)

    def cut_one_way(self, sources: Sequence[str], destinations: Sequence[str]) -> None:
        """Nothing passes from these to those; the other direction stays as it is."""
        self.set_many([(a, b) for a in sources for b in destinations], cut=True)

    def heal(self) -> None:
        """No rules."""
        self._rules.clear()
        self._tell({"rules": {}})

    def counts(self) -> dict[Pair, tuple[int, int, int]]:
        """By direction: packets and bytes that have passed since the start, and packets that were dropped."""
        found = {}
        for pair, (packets, size, dropped) in self._tell({"counts": True}).items():
            source, _, destination = pair.partition(">")
            found[source, destination] = (packets, size, dropped)
        return found

    def _tell(self, command: dict[str, object]) -> dict[str, list[int]]:
        assert self._switch is not None, "the lab was not started"
        commands, answers = self._switch.stdin, self._switch.stdout
        assert commands is not None
        assert answers is not None
        commands.write(json.dumps(command).encode() + b"\n")
        commands.flush()
        answer: dict[str, list[int]] = json.loads(answers.readline())
        return answer

    def _set_up(self, name: str) -> None:
        """Address and routes inside the namespace. It has one device besides `lo`, whatever its name."""
        namespace = self.namespace(name)
        listed = json.loads(
            subprocess.run(["ip", "-n", namespace, "-j", "link"], capture_output=True, check=True).stdout
        )
        (device,) = [one["ifname"] for one in listed if "POINTOPOINT" in one["flags"]]
        net = self.addresses[name].rpartition(".")[0]
        lines = [
            "link set lo up",
            f"addr add {self.addresses[name]}/32 dev {device}",
            f"link set {device} mtu {MTU} txqueuelen 5000 up",
            f"route add {net}.0/24 dev {device} src {self.addresses[name]}",
        ]
        _ip(lines, namespace)


def remove_leftovers() -> None:
    """Remove the namespaces of runs that were killed."""
    folder = Path("/run/netns")
    found = [path.name for path in folder.glob(f"{PREFIX}-*")] if folder.is_dir() else []
    _delete([name for name in found if not Path(f"/proc/{name.removeprefix(PREFIX).split('-')[1]}").exists()])


def _new_tun() -> tuple[int, str]:
    """A TUN device in this namespace, which exists as long as somebody holds the descriptor; its name."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    try:
        asked = struct.pack("16sH22x", b"whlab%d", _IFF_TUN | _IFF_NO_PI)
        given = fcntl.ioctl(descriptor, _TUNSETIFF, asked)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, given[:16].rstrip(b"\0").decode()


def unused_net() -> str:
    """The first three bytes of 256 addresses that nothing here uses."""
    used = subprocess.run(
        ["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True
    ).stdout
    free = [net for a in (18, 19) for b in range(256) if f"{(net := f'198.{a}.{b}')}." not in used]
    return SystemRandom().choice(free)


def _ip(lines: Iterable[str], namespace: str = "") -> None:
    """Run many `ip` commands in one process.

    Raises:
        RuntimeError: If one of them fails; with what it says.
    """
    where = ["-n", namespace] if namespace else []
    ran = subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(f"ip failed: {ran.stdout}{ran.stderr}")


def _delete(namespaces: list[str]) -> None:
    for name in namespaces:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)
