"""Who takes part in a run: subscribers of many kinds and publishers, all of them started and stopped together.

Not here: how each of them works (subscribers.py, rawclient.py).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from random import Random
from typing import Any

from tests.chaos.proxy import Proxy
from tests.chaos.rawclient import RawClient, RawSubscription
from tests.chaos.rawpublisher import RawPublisher
from tests.chaos.subscribers import BlockingSubscriber, SdkPublisher, SdkSubscriber
from tests.support.checker import Fresh, Gapped, Got, Outcome, Seen
from tests.support.node import RunningNode
from tests.support.truth import BEFORE_ALL, Position, Truth
from whimbrel import Last, Latest, Now, Since
from whimbrel.start import Start


class Cast:
    """All clients of a run."""

    def __init__(self, node: RunningNode, proxy: Proxy, rng: Random) -> None:
        self._node = node
        self._proxy = proxy
        self._rng = rng
        self._sdk: list[SdkSubscriber] = []
        self._blocking: list[BlockingSubscriber] = []
        self._raw: list[RawClient] = []
        self._publishers: list[SdkPublisher | RawPublisher] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: list[asyncio.Task[None]] = []
        self.seen: list[Seen] = []

    def start(self) -> None:
        """All of them, now; some straight at the node, some through the proxy."""
        direct, proxied = self._node.url, self._proxy.url
        self._add_sdk("all events", proxied, "/events/*", Now())
        self._add_sdk("all notes, msgpack", proxied, "/notes/*", Latest(), "msgpack")
        self._add_sdk("one hot key", direct, "/events/k000", Latest())
        self._add_sdk("one cold key", proxied, "/events/k100", Last(5), "msgpack")
        self._add_sdk("a deep prefix, slow", proxied, "/events/a/b/*", Latest(), slow_s=1.5)
        self._add_sdk("hops", direct, "/events/a/*", Now(), "msgpack", stay_s=0.8)
        self._add_sdk("hops, a key", proxied, "/notes/k001", Now(), stay_s=0.5)
        self._add_sdk("since a while ago", direct, "/notes/a/*", Since(_ago_ms(2)))
        self._add_blocking("blocking, no key", proxied, "/events", Latest())
        self._add_blocking("blocking, all notes", direct, "/notes/*", Now(), "msgpack")
        self._add_raw("raw", direct, "json", [("/events/*", "latest"), ("/events/k001", "now")])
        self._add_raw("raw, msgpack", proxied, "msgpack", [("/events/*", "now"), ("/notes", "latest")])
        self._add_raw("raw, slow", direct, "json", [("/events/*", "now")], slow_s=4)
        odd = ["/events/", "/events/%25", "/events/%2A", "/events/a//b", "/events/%FF%FE", "/events/ü/ß"]
        self._add_raw("raw, hops", proxied, "json", [(subject, "latest") for subject in odd], stay_s=0.4)
        self._add_raw("raw, hops, many", direct, "msgpack", [("/events/*", "now"), ("/notes/*", "now")], stay_s=1.0)
        self._add_publisher(SdkPublisher("sdk", proxied, "/notes/from/sdk", self._seed(), "json", 0.03))
        self._add_publisher(SdkPublisher("sdk-m", direct, "/notes/from/msgpack", self._seed(), "msgpack", 0.03))
        self._add_publisher(SdkPublisher("sdk-n", proxied, "/notes", self._seed(), "json", 0.05))
        self._add_publisher(RawPublisher(proxied, "/notes/from/raw", self._seed()))

    def stop_publishing(self) -> None:
        """Publishers come to an end; from now on readers are quick, and stay."""
        for subscriber in self._sdk:
            subscriber.slow_s = 0.0
        for client in self._raw:
            client.slow_s = 0.0
        for publisher in self._publishers:
            publisher.stopping = True

    async def publishers_done(self) -> None:
        """Return when each has its last answer."""
        await asyncio.wait_for(asyncio.gather(*self._publishing), 30)

    async def stop(self) -> None:
        """All of them; raises what one of them has raised."""
        for subscriber in self._sdk:
            subscriber.stopping = True
        for client in self._raw:
            client.stopping = True
        self.stop_publishing()
        results = await asyncio.gather(*self._tasks, *self._publishing, return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(one.stop) for one in self._blocking))
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def unfinished(self, truth: Truth) -> list[str]:
        """Subscribers that have not got the last record of a subject of theirs, nor been told of a gap there."""
        found = []
        for seen in self.seen:
            reached: dict[int, Position] = {}
            had = set()
            for one in seen.noted:
                if isinstance(one, Fresh):
                    reached = {_partition(log): at for log, at in one.at.items()}
                elif isinstance(one, Gapped) and one.end is not None:
                    partition = _partition(one.log)
                    reached[partition] = max(one.end, reached.get(partition, one.end))
                elif isinstance(one, Got):
                    had.add((_partition(one.log), one.at))
            last = {(fact.partition, fact.subject): fact.at for fact in truth.of(seen.subject)}
            if any((p, at) not in had and at > reached.get(p, BEFORE_ALL) for (p, _), at in last.items()):
                found.append(seen.name)
        return found

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for one in self._publishers for outcome in one.outcomes]

    @property
    def complaints(self) -> list[str]:
        """What clients hold against the server."""
        found = []
        for one in (*self._sdk, *self._blocking, *self._raw, *self._publishers):
            found += one.complaints
        return found

    @property
    def gaps(self) -> dict[str, int]:
        """By reason."""
        return dict(Counter(one.why for seen in self.seen for one in seen.noted if isinstance(one, Gapped)))

    @property
    def connections(self) -> dict[str, object]:
        """Of the raw clients: how many, and why they ended."""
        ends = Counter(str(code) for one in self._raw for code, n in one.closes.items() for _ in range(n))
        return {"raw": sum(one.connections for one in self._raw), "ends": dict(ends)}

    def summary(self, status: dict[str, Any]) -> str:
        """The node's own words, in a line."""
        return f"{status['state']}, {status['clients']}, cache {status['cache']['bytes']} bytes, {status['problems']}"

    def _seed(self) -> int:
        return self._rng.randrange(2**32)

    def _new(self, name: str, subject: str, start: str) -> Seen:
        seen = Seen(name, subject, start)
        self.seen.append(seen)
        return seen

    def _add_sdk(self, name: str, url: str, subject: str, start: Start, encoding: str = "json", **how: float) -> None:
        seen = self._new(name, subject, _named(start))
        if isinstance(start, Since):
            assert isinstance(start.time, int)
            seen.time = start.time
        client = SdkSubscriber(seen, url, start, self._seed(), encoding, **how)
        self._sdk.append(client)
        self._tasks.append(asyncio.create_task(client.run()))

    def _add_blocking(self, name: str, url: str, subject: str, start: Start, encoding: str = "json") -> None:
        client = BlockingSubscriber(self._new(name, subject, _named(start)), url, start, encoding)
        self._blocking.append(client)
        client.start()

    def _add_raw(self, name: str, url: str, encoding: str, wanted: list[tuple[str, str]], **how: float) -> None:
        subscriptions = [RawSubscription(self._new(f"{name} {s}", s, start), start) for s, start in wanted]
        client = RawClient(url, encoding, subscriptions, self._seed(), **how)
        self._raw.append(client)
        self._tasks.append(asyncio.create_task(client.run()))

    def _add_publisher(self, publisher: SdkPublisher | RawPublisher) -> None:
        self._publishers.append(publisher)
        self._publishing.append(asyncio.create_task(publisher.run()))


def _partition(log: str) -> int:
    return int(log.partition(".")[0])


def _ago_ms(seconds: float) -> int:
    return int((time.time() - seconds) * 1000)


def _named(start: Start) -> str:
    return {"Since": "time"}.get(type(start).__name__, type(start).__name__.lower())
