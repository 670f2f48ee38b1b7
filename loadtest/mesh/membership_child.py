"""A process with one or several members, for the membership benchmark; says on standard output what they see.

Lines of JSON: ["up", when] once all members have started, ["seen", when, observer, member, state], and every half
second ["used", when, CPU seconds, datagrams, bytes]. Ends when its parent does. Argument:
{"members": [[name, port]...], "join": [address...], "loss": share}.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import sys
import time
import traceback
from random import Random, SystemRandom

import gevent

from mesh.membership.config import MembershipConfig
from mesh.membership.link import MembershipLink
from mesh.membership.membership import Membership
from mesh.membership.packets import MemberChanged, MembershipEvent
from mesh.membership.seal import Seal
from mesh.membership.udp import Udp


class LossyLink(MembershipLink):
    """Loses a share of what it sends."""

    loss = 0.0

    def take_sends(self) -> list[tuple[str, bytes]]:
        sends = super().take_sends()
        return [send for send in sends if _random.random() >= self.loss] if self.loss else sends


_random = Random()


def say(*what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def tell(observer: str, events: list[MembershipEvent]) -> None:
    for event in events:
        if isinstance(event, MemberChanged):
            say("seen", time.monotonic(), observer, event.name, event.state.word)


def fail() -> None:
    """The current exception ends it all."""
    traceback.print_exc()
    os._exit(1)


def main() -> None:
    told = json.loads(sys.argv[1])
    parent = os.getppid()
    members = []
    for name, port in told["members"]:
        boot = secrets.token_hex(8)
        membership = Membership(name, f"127.0.0.1:{port}", boot, b"", MembershipConfig(), SystemRandom())
        link = LossyLink(membership, Seal(b"bench", "bench", name, boot))
        link.loss = told["loss"]
        udp = Udp("127.0.0.1", port, link, functools.partial(tell, name), fail)
        udp.start(told["join"])
        members.append(udp)
    say("up", time.monotonic())
    while os.getppid() == parent:
        gevent.sleep(0.5)
        datagrams = sum(udp.stats.sent for udp in members)
        size = sum(udp.stats.sent_bytes for udp in members)
        say("used", time.monotonic(), time.process_time(), datagrams, size)


if __name__ == "__main__":
    main()
