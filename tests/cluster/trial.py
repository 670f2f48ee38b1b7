"""One trial: a cluster, publishers and subscribers at all its nodes, faults one after another; then quiet, and the
judgement.

A step is a fault and its repair. How long publishes waited and deliveries paused during each is measured, printed, and
bounded generously; the figures that count are those of the benchmark.

Not here: what must hold (checker.py), how nodes and networks are spoilt (tests/support/cluster.py, network.py).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, TypeVar

from tests.chaos.rawclient import RawClient, RawSubscription
from tests.chaos.subscribers import SdkSubscriber
from tests.cluster.checker import Checker, check
from tests.cluster.clients import HoppingClient, Publisher, SdkPublisher, new_seen, times_of
from tests.cluster.kafka_load import HOT, KafkaLoad
from tests.support.checker import Breach, Outcome, Seen, shown
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S
from tests.support.queued import queued_between, queued_s
from whimbrel import Now
from whimbrel.start import Latest

KEYS = [f"/chat/k{number}" for number in range(8)]
SDK_KEYS = ["/chat/sdk"]
FLOOD_KEYS = [f"/chat/flood/{number}" for number in range(8)]
KAFKA_SUBJECTS = [f"/events/{key.decode()}" for key in HOT]
STALL_MAX_S = 12.0
"""Of publishes and of deliveries, in a step whose majority of voters stays connected; see `Step.bound_s`."""
AFTER_S = 1.5
"""A step is watched for so long after its end."""
FLOOD_BYTES = 2_000

T = TypeVar("T")


@dataclass(slots=True)
class Step:
    """What was done, and what it cost."""

    name: str
    begin: float
    end: float = 0.0
    bounded: bool = True
    agreed_s: float = 0.0
    """How long after its end all nodes agreed again."""
    publish_stall_s: float = 0.0
    """The longest time in which nothing was acknowledged of one of the subjects."""
    publish_wait_s: float = 0.0
    """The longest that a publisher waited for an answer, asking other nodes meanwhile."""
    delivery_stall_s: float = 0.0
    """The longest time in which nobody got anything of one of the subjects."""
    kafka_stall_s: float = 0.0
    queued_s: float = 0.0
    """How long all processes together stood in the queue for a processor."""

    def __str__(self) -> str:
        stalls = (
            f"publish {self.publish_stall_s:.2f} (longest wait {self.publish_wait_s:.2f}), "
            f"delivery {self.delivery_stall_s:.2f}"
        )
        kafka = f", Kafka {self.kafka_stall_s:.2f}" if self.kafka_stall_s else ""
        return (
            f"{self.name} ({self.end - self.begin:.1f} s): stalls {stalls}{kafka}; agreed after {self.agreed_s:.2f} s; "
            f"queued for processors {self.queued_s:.1f} s"
        )

    @property
    def bound_s(self) -> float:
        """What a stall may last: what the machine has kept from the processes is no fault of theirs."""
        return STALL_MAX_S + self.queued_s


class Trial:
    """Use `run_trial`; the scenario gets one of these."""

    def __init__(self, cluster: Cluster, seed: int, kafka: KafkaLoad | None, publishers: int) -> None:
        rng = Random(seed)
        self.cluster = cluster
        self.rng = rng
        self.kafka = kafka
        self.steps: list[Step] = []
        self.chat: list[Seen] = []
        self.events: list[Seen] = []
        self._began = time.monotonic()
        self._clients: list[SdkSubscriber | RawClient] = []
        self._publishers: list[Publisher | SdkPublisher] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: list[asyncio.Task[None]] = []
        self._n_publishers = publishers

    def say(self, text: object) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)

    # For scenarios.

    @asynccontextmanager
    async def step(self, name: str, *, bounded: bool = True, agree: bool = True) -> AsyncIterator[Step]:
        """What is done inside is a step; at its end all nodes that run agree again."""
        step = Step(name, time.monotonic(), bounded=bounded)
        queued = queued_s(self._processes())
        self.say(f"{name} ...")
        yield step
        step.end = time.monotonic()
        if agree:
            step.agreed_s = await asyncio.to_thread(self.cluster.wait_agreed)
        await asyncio.sleep(AFTER_S)
        step.queued_s = queued_between(queued, queued_s(self._processes()))
        self.steps.append(step)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def do(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """Call something that takes its time, while the load goes on."""
        return await asyncio.to_thread(function, *args, **more)

    async def flood(self, seconds: float, at: Sequence[str]) -> None:
        """So many more publishes at these nodes that the queue of a peer that takes nothing fills."""
        urls = [self.cluster[name].url for name in at]
        publisher = SdkPublisher(urls, FLOOD_KEYS, self._seed(), at_a_time=100, pause_s=0, pad=FLOOD_BYTES)
        self._publishers.append(publisher)
        self._publishing.append(asyncio.create_task(publisher.run()))
        await asyncio.sleep(seconds)
        publisher.stopping = True

    def coordinator(self, subject: str = KEYS[0]) -> str:
        """Who coordinates a subject now."""
        found = self.cluster.coordinator(subject)
        assert found, f"nobody coordinates {subject}"
        return found

    # Life.

    async def start(self) -> None:
        """All clients; return when each subscriber has its first answer, so that it is owed all that follows."""
        urls = self.cluster.urls
        for number, node in enumerate(self.cluster.nodes.values()):
            encoding = ("json", "msgpack")[number % 2]
            self._raw(f"at {node.name}", node.url, encoding)
            self._publishers.append(self._publisher(node.name, urls[number:] + urls[:number]))
        for number in range(len(urls), self._n_publishers):
            self._publishers.append(self._publisher(f"more-{number}", urls))
        self._sdk("sdk", urls, "/chat/*", "now", "json")
        self._sdk("sdk, a key", urls, KEYS[0], "latest", "msgpack")
        self._sdk("sdk, hops", urls, "/chat/*", "now", "msgpack", stay_s=1.5)
        self._hopping("hops", urls)
        if self.kafka is not None:
            self._sdk("sdk, events", urls, "/events/*", "now", "json")
            self._sdk("sdk, notes", urls, "/notes/*", "now", "msgpack")
        self._publishers.append(SdkPublisher(urls, SDK_KEYS, self._seed()))
        deadline = time.monotonic() + PATIENCE_S
        while waiting := [seen.name for seen in (*self.chat, *self.events) if not seen.noted]:
            assert time.monotonic() < deadline, f"not subscribed: {waiting}"
            await asyncio.sleep(0.05)
        for one in self._publishers:
            self._publishing.append(asyncio.create_task(one.run()))
        if self.kafka is not None:
            self.kafka.start()
        await asyncio.sleep(1)

    async def quiet(self) -> None:
        """Publishers come to their end, and everything that is on its way arrives."""
        self.say("quiet")
        for one in self._publishers:
            one.stopping = True
            one.give_up_at = time.monotonic() + PATIENCE_S
        await asyncio.wait_for(asyncio.gather(*self._publishing), 2 * PATIENCE_S)
        if self.kafka is not None:
            await asyncio.to_thread(self.kafka.stop)
        deadline = time.monotonic() + PATIENCE_S
        while (missing := self._unfinished()) and time.monotonic() < deadline:
            await asyncio.sleep(0.3)
        self.say(f"{len(missing)} have not arrived, such as {missing[:3]}" if missing else "everything has arrived")
        await asyncio.sleep(0.5)

    async def stop(self) -> None:
        """All clients are gone; raises what one of them has raised."""
        for one in self._clients:
            one.stopping = True
        for publisher in self._publishers:
            publisher.stopping = True
            publisher.give_up_at = 0
        results = await asyncio.gather(*self._tasks, *self._publishing, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def judge(self, memory_lost: bool) -> None:
        """Fail with all that is wrong."""
        outcomes = self.outcomes
        breaches = check(self.chat, outcomes, memory_lost)
        for one in (*self._clients, *self._publishers):
            breaches += [Breach("complaint", text) for text in one.complaints]
        if not memory_lost:
            ours = [one for one in self._publishers if isinstance(one, Publisher)]
            breaches += [Breach("complaint", text) for one in ours for text in one.in_other_logs]
        if self.kafka is not None:
            breaches += self.kafka.check(self.events)
        for step in self.steps:
            self._measure(step)
            self.say(step)
        received = sum(len(seen.got) for seen in self.chat)
        acknowledged = [one.answered_at - one.sent_at for one in outcomes if one.log is not None]
        unanswered = len(outcomes) - len(acknowledged)
        self.say(f"{len(acknowledged)} acknowledged, {unanswered} not; {received} received; {self._errors()}")
        assert received, "nothing was received at all: this shows nothing"
        assert not breaches, shown(breaches)
        late = [str(step) for step in self.steps if step.bounded and _worst(step) > step.bound_s]
        assert not late, late
        assert not unanswered, f"{unanswered} publishes were never acknowledged"

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for one in self._publishers for outcome in one.outcomes]

    # Inside.

    def _processes(self) -> list[int]:
        """All that a publish and a delivery pass through."""
        running = [node for node in self.cluster.nodes.values() if node.is_running]
        return [os.getpid(), *(pid for node in running for pid in (node.process.pid, *node.workers()))]

    def _unfinished(self) -> list[str]:
        found = Checker(self.chat, self.outcomes, memory_lost=True).unfinished()
        return found + (self.kafka.unfinished(self.events) if self.kafka is not None else [])

    def _measure(self, step: Step) -> None:
        begin, end = step.begin, step.end + AFTER_S
        ours = [outcome for one in self._publishers if isinstance(one, Publisher) for outcome in one.outcomes]
        waits = [one.answered_at - one.sent_at for one in ours if one.answered_at > begin and one.sent_at < end]
        answers = [(one.subject, one.answered_at) for one in ours if one.log is not None]
        step.publish_wait_s = max(waits, default=0.0)
        step.publish_stall_s = longest_pause(answers, begin, end, KEYS)
        step.delivery_stall_s = longest_pause(_received(self.chat), begin, end, KEYS)
        if self.events:
            step.kafka_stall_s = longest_pause(_received(self.events), begin, end, KAFKA_SUBJECTS)

    def _errors(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in self._publishers:
            if isinstance(one, Publisher):
                for name, count in one.errors.items():
                    found[name] = found.get(name, 0) + count
        return found

    def _seed(self) -> int:
        return self.rng.randrange(2**32)

    def _publisher(self, name: str, urls: list[str]) -> Publisher:
        return Publisher(name, urls, KEYS, self._seed())

    def _new(self, name: str, subject: str, start: str) -> Seen:
        seen = new_seen(name, subject, start)
        (self.chat if subject.startswith("/chat") else self.events).append(seen)
        return seen

    def _add(self, client: SdkSubscriber | RawClient) -> None:
        self._clients.append(client)
        self._tasks.append(asyncio.create_task(client.run()))

    def _raw(self, name: str, url: str, encoding: str) -> None:
        subjects = ["/chat/*", "/events/*"] if self.kafka is not None else ["/chat/*"]
        wanted = [RawSubscription(self._new(name, subject, "now"), "now") for subject in subjects]
        self._add(RawClient(url, encoding, wanted, self._seed()))

    def _hopping(self, name: str, urls: list[str]) -> None:
        wanted = [RawSubscription(self._new(name, "/chat/*", "now"), "now")]
        self._add(HoppingClient(urls, "json", wanted, self._seed()))

    def _sdk(self, name: str, urls: list[str], subject: str, start: str, encoding: str, stay_s: float = 0.0) -> None:
        seen = self._new(name, subject, start)
        begin = Latest() if start == "latest" else Now()
        # It hands the address to the SDK, which takes several as well.
        self._add(SdkSubscriber(seen, urls, begin, self._seed(), encoding, stay_s=stay_s))  # type: ignore[arg-type]


def longest_pause(happened: Iterable[tuple[str, float]], begin: float, end: float, subjects: Sequence[str]) -> float:
    """The longest time in which nothing happened to one of these subjects, between two instants."""
    times: dict[str, list[float]] = {subject: [begin, end] for subject in subjects}
    for subject, at in happened:
        if begin < at < end and subject in times:
            times[subject].append(at)
    return max(after - before for same in times.values() for before, after in pairwise(sorted(same)))


def _received(seens: Sequence[Seen]) -> list[tuple[str, float]]:
    return [one for seen in seens for one in times_of(seen)]


def _worst(step: Step) -> float:
    return max(step.publish_stall_s, step.delivery_stall_s, step.kafka_stall_s)


def run_trial(
    cluster: Cluster,
    scenario: Callable[[Trial], Awaitable[None]],
    *,
    seed: int = 1,
    kafka: KafkaLoad | None = None,
    publishers: int = 4,
    memory_lost: bool = False,
) -> Trial:
    """Run the scenario under load and judge it. The cluster must have been started."""

    async def run() -> Trial:
        trial = Trial(cluster, seed, kafka, publishers)
        try:
            await trial.start()
            await scenario(trial)
            await trial.quiet()
        finally:
            await trial.stop()
        return trial

    trial = asyncio.run(run())
    trial.judge(memory_lost)
    return trial
