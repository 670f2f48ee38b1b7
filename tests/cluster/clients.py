"""Who takes part in a trial: publishers that send again until they are answered, and subscribers that write down all
that they get and when, each at a node of its own or at whichever there is.

Not here: what must hold of what they wrote down (checker.py).
"""

from __future__ import annotations

import asyncio
import time
from random import Random

from websockets.exceptions import WebSocketException

from tests.chaos.rawclient import RawClient, RawSubscription
from tests.support.asking import Asking
from tests.support.checker import Got, Noted, Outcome, Seen
from whimbrel import Client, PublishError

ANSWER_S = 2.0
"""A publisher that has no answer by then hangs up and asks another node."""


class Timed(list[Noted]):
    """What a subscriber noted, and when each message came (monotonic)."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[str, float]] = []

    def append(self, one: Noted) -> None:
        if isinstance(one, Got):
            self.times.append((one.subject, time.monotonic()))
        super().append(one)


def new_seen(name: str, subject: str, start: str) -> Seen:
    return Seen(name, subject, start, noted=Timed())


def times_of(seen: Seen) -> list[tuple[str, float]]:
    """When its messages came, with their subjects."""
    assert isinstance(seen.noted, Timed)
    return seen.noted.times


class HoppingClient(RawClient):
    """Each connection is to another server."""

    def __init__(self, urls: list[str], encoding: str, subscriptions: list[RawSubscription], seed: int) -> None:
        super().__init__(urls[0], encoding, subscriptions, seed, stay_s=1.0)
        self._urls = urls

    async def _connection(self) -> None:
        self.url = self._rng.choice(self._urls)
        await super()._connection()


class Publisher:
    """Publishes one message after another to subjects by chance, each again and again, at one server after another,
    until it is acknowledged; sometimes again after that: then the answer must be the same.
    """

    def __init__(self, name: str, urls: list[str], subjects: list[str], seed: int, pause_s: float = 0.02) -> None:
        """`urls`: the first one is where it is at home, and comes back to."""
        self.name = f"{name}-{seed:x}".ljust(16, "x")
        self.outcomes: list[Outcome] = []
        self.complaints: list[str] = []
        self.in_other_logs: list[str] = []
        """Retries that were taken for new in another log: wrong, unless the memory of the first one was lost."""
        self.errors: dict[str, int] = {}
        self.stopping = False
        self.give_up_at = float("inf")
        self._urls = urls
        self._url = 0
        self._subjects = subjects
        self._pause_s = pause_s
        self._rng = Random(seed)
        self._connection = Asking()

    async def run(self) -> None:
        seq = 0
        while not self.stopping:
            seq += 1
            subject, text = self._rng.choice(self._subjects), f"{self.name} {seq}"
            sent_at = time.monotonic()
            answer = await self._until_answered(seq, subject, text)
            log, at = answer or (None, None)
            self.outcomes.append(Outcome(self.name, seq, subject, text.encode(), log, at, sent_at, time.monotonic()))
            if answer is not None and self._rng.random() < 0.03:
                again = await self._until_answered(seq, subject, text)
                if again is not None and None not in (at, again[1]) and again != answer:
                    text = f"{self.name} {seq} was acknowledged as {answer}, its retry as {again}"
                    (self.complaints if again[0] == answer[0] else self.in_other_logs).append(text)
            await asyncio.sleep(self._rng.uniform(0, 2 * self._pause_s))
        self._connection.hang_up()

    async def _until_answered(self, seq: int, subject: str, text: str) -> tuple[str, tuple[int, int] | None] | None:
        frame = {"op": "publish", "subject": subject, "publisher": self.name, "seq": seq, "text": text}
        pause_s = 0.05
        while time.monotonic() < self.give_up_at:
            try:
                url = self._urls[self._url % len(self._urls)]
                answer = await asyncio.wait_for(self._connection.ask(url, frame), ANSWER_S)
            except (OSError, WebSocketException, TimeoutError) as error:
                self._connection.hang_up()
                self._url += 1
                answer = {"op": "error", "code": 0, "error": type(error).__name__}
            if answer["op"] == "published":
                at = answer.get("at")
                return answer["log"], None if at is None else (at[0], at[1])
            self.errors[answer["error"]] = self.errors.get(answer["error"], 0) + 1
            if answer["code"] >= 4300:
                self.complaints.append(f"{self.name} {seq} was refused: {answer}")
                return None
            if answer["code"]:
                self._url += 1
                self._connection.hang_up()
            await asyncio.sleep(self._rng.uniform(0, pause_s))
            pause_s = min(0.3, pause_s * 2)
        return None


class SdkPublisher:
    """The same with the SDK, which does all that by itself; several at a time."""

    def __init__(
        self, urls: list[str], subjects: list[str], seed: int, at_a_time: int = 4, pause_s: float = 0.04, pad: int = 0
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.complaints: list[str] = []
        self.stopping = False
        self.give_up_at = float("inf")
        self._urls = urls
        self._subjects = subjects
        self._at_a_time = at_a_time
        self._pause_s = pause_s
        self._pad = "." * pad
        self._rng = Random(seed)
        self._number = 0

    async def run(self) -> None:
        async with Client(self._urls) as client:
            await asyncio.gather(*(self._some(client) for _ in range(self._at_a_time)))

    async def _some(self, client: Client) -> None:
        while not self.stopping:
            self._number += 1
            number, text = self._number, f"sdk {self._number}{self._pad}"
            subject = self._rng.choice(self._subjects)
            sent_at = time.monotonic()
            log, at = None, None
            try:
                log, at = await client.publish(subject, text=text, timeout_s=60)
            except PublishError as error:
                self.complaints.append(str(error))
            self.outcomes.append(Outcome("sdk", number, subject, text.encode(), log, at, sent_at, time.monotonic()))
            await asyncio.sleep(self._rng.uniform(0, 2 * self._pause_s))
