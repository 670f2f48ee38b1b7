"""The same as membership_child.py with the package swim-protocol as it comes.

`ping_req_count` stays 1: with more, version 0.6.3 can loop for ever at full CPU when members have come and gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from random import random

from swimprotocol.members import Member, Members
from swimprotocol.packet import Packet
from swimprotocol.status import Status
from swimprotocol.udp import UdpTransport
from swimprotocol.udp.config import UdpConfig
from swimprotocol.udp.pack import UdpPack
from swimprotocol.worker import Worker

STATES = {Status.ONLINE: "alive", Status.SUSPECT: "suspect", Status.OFFLINE: "dead"}


def say(*what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class CountingPack(UdpPack):
    """Counts packets, and loses a share of those that come."""

    loss = 0.0
    packets = 0
    size = 0

    def pack(self, packet: Packet) -> bytes:
        data = super().pack(packet)
        CountingPack.packets += 1
        CountingPack.size += len(data)
        return data

    def unpack(self, data: bytes) -> Packet | None:
        return None if random() < self.loss else super().unpack(data)


async def run() -> None:
    told = json.loads(sys.argv[1])
    parent = os.getppid()
    CountingPack.loss = told["loss"]
    async with AsyncExitStack() as stack:
        for name, _port in told["members"]:
            peers = [address for address in told["join"] if address != name]
            config = UdpConfig(secret="bench", local_name=name, peers=peers, mtu_size=1400)
            members = Members(config)
            worker = Worker(config, members)
            transport = UdpTransport(config, worker)
            transport.udp_pack = CountingPack(config.signatures)  # type: ignore[misc]

            async def tell(member: Member, name: str = name) -> None:
                if not member.local:
                    say("seen", time.monotonic(), name, member.name, STATES[member.status])

            await stack.enter_async_context(transport)
            await stack.enter_async_context(worker)
            await stack.enter_async_context(members.listener.on_notify(tell))
        say("up", time.monotonic())
        while os.getppid() == parent:
            await asyncio.sleep(0.5)
            say("used", time.monotonic(), time.process_time(), CountingPack.packets, CountingPack.size)
        os._exit(0)


if __name__ == "__main__":
    asyncio.run(run())
