"""Locust measured: 2,000 users of one process at 10,000 msg/s, and beside them a few clients of the fleet.

Both receive from the same node at the same time, so that what Locust sees later is Locust's own doing.

Not here: the users (users.py), the fleet (loadtest/fleet.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

from loadtest.bench import LATE_S, WARM_S, Bench, complete, ms, too_late
from loadtest.fleet import now_us
from loadtest.node import Node
from loadtest.payload import key_name
from loadtest.process import Failed, Shares, cpu_s
from loadtest.report import Row
from loadtest.swarm.receipts import Receipts

USERS, FLEET = 2_000, 200
KEYS, RATE = 1_000, 5_000
PATIENCE_S = 90.0
LOCUSTFILE = Path(__file__).parent.parent / "locustfile.py"


def swarm(bench: Bench) -> Iterator[Row]:
    """Latency as Locust sees it, with that of the fleet beside it as the floor."""
    topic, rate = bench.topic("swarm"), RATE * bench.scale
    random = Random(4)
    chosen = [f"/{topic}/{key_name(random.randrange(KEYS)).decode()}" for _ in range(FLEET)]
    report = bench.artifacts / "locust"
    with bench.children() as load, bench.node(topic) as node, (bench.artifacts / "locust.log").open("wb") as log:
        load.fleet.call("connect", port=node.port, subjects=chosen, tracked_every=1)
        load.producer.call("run", topic=topic, keys=KEYS, rate=rate, seconds=WARM_S)
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "Subscriber", "--headless", "--only-summary"]
        command += ["-u", str(USERS), "-r", "400", "--host", node.url, "--topic", topic, "--keys", str(KEYS)]
        process = subprocess.Popen(
            [*command, "--report", str(report.resolve())], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            wait_until(partial(subscribed, node, USERS + FLEET), process)
            bench.say(f"{USERS} users in one Locust, {FLEET} clients of the fleet, {rate:,.0f} msg/s in")
            load.fleet.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
            shares = Shares({"server": node.pid, "locust": process.pid, "fleet": load.fleet.pid})
            load.producer.call("run", topic=topic, keys=KEYS, rate=rate, seconds=bench.seconds)
            bench.say(f"shares of a core: {shares.words()}")
            complete(load, chosen)
            wait_until(partial(at_rest, process.pid), process)  # it may be behind
            process.terminate()
            process.wait(30)
        finally:
            process.kill()
            process.wait()
        samples, late_s = load.fleet.call("samples"), load.producer.call("late_s")
    found = json.loads((report / "report.json").read_text())
    receipts = Receipts({int(us): count for us, count in found["receipts"].items()})
    if found["faults"] or found["errors"]:
        raise Failed(f"Locust found {found['faults']} {found['errors']}")
    bench.say(f"Locust received {receipts.total:,}, {receipts.total / bench.seconds:,.0f} per second")
    if late_s > LATE_S:
        bench.miss(too_late(late_s))
        return
    for share in (0.5, 0.99):
        seen, floor = receipts.ms(share), ms(samples, share)
        if seen is None or floor is None:
            raise Failed("nothing was received")
        yield Row(f"swarm.p{share * 100:.0f}_ms", seen, "ms", floor, floor + 2, less_is_better=True)


def subscribed(node: Node, count: int) -> bool:
    return bool(node.status().get("clients", {}).get("subscriptions", 0) >= count)


def at_rest(pid: int) -> bool:
    """Whether the process has had next to nothing to do for half a second."""
    before = cpu_s(pid)
    time.sleep(0.5)
    return cpu_s(pid) - before < 0.05


def wait_until(is_so: partial[bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until Locust is so far.

    Raises:
        Failed: It takes too long, or the process has ended.
    """
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        if process.poll() is not None or time.monotonic() > until:
            raise Failed(f"Locust did not get so far in {PATIENCE_S} s; locust.log says more")
        time.sleep(0.2)
