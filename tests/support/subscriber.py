"""A subscriber that writes everything down, and a check of that against what an independent reader finds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

from loadtest.kafka.records import Record
from tests.support.node import RunningNode
from tests.support.patience import PATIENCE_S
from whimbrel import BlockingClient, events
from whimbrel.message import Message
from whimbrel.start import Start

E = TypeVar("E")


class Subscriber:
    """One client with one subscription. A context manager."""

    def __init__(
        self, url: str | list[str], subject: str, *, start: Start | None = None, encoding: str = "json", **options: Any
    ) -> None:
        self.subject = subject
        self.messages: list[Message] = []
        self.statuses: list[events.Status] = []
        self._changed = threading.Condition()
        self.start = start
        self.client = BlockingClient(url, encoding=encoding, on_status=self._tell, **options)

    def __enter__(self) -> Subscriber:
        self.client.__enter__()
        try:
            self.subscription = self.client.subscribe(self.subject, self._take, start=self.start, timeout_s=PATIENCE_S)
        except BaseException:
            self.client.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def _take(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def _tell(self, status: events.Status) -> None:
        with self._changed:
            self.statuses.append(status)
            self._changed.notify_all()

    def all(self, kind: type[E]) -> list[E]:
        """The statuses of one kind, so far."""
        return [status for status in self.statuses if isinstance(status, kind)]

    @property
    def gaps(self) -> list[events.Gap]:
        return self.all(events.Gap)

    @property
    def live_logs(self) -> set[str]:
        return {log for live in self.all(events.Live) for log in live.logs}

    def wait(
        self, condition: Callable[[Subscriber], object], what: str = "that", timeout_s: float = PATIENCE_S
    ) -> Subscriber:
        """Return once the condition holds."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout_s):
                shown = [str(status) for status in self.statuses[-8:]]
                raise AssertionError(
                    f"no {what} within {timeout_s} s; {len(self.messages)} messages, the last "
                    f"{[(m.subject, m.log, m.at) for m in self.messages[-4:]]}; statuses {shown}"
                )
        return self

    def wait_messages(self, count: int, timeout_s: float = PATIENCE_S) -> list[Message]:
        """All messages, once there are `count`."""
        self.wait(lambda one: len(one.messages) >= count, f"{count} messages", timeout_s)
        return self.messages

    def wait_live(self, logs: Iterable[str], timeout_s: float = PATIENCE_S) -> Subscriber:
        """Return once it is live in these logs."""
        return self.wait(lambda one: one.live_logs >= set(logs), f"live in {set(logs)}", timeout_s)


@contextmanager
def live_subscriber(
    node: RunningNode, topic: str, subject: str, partitions: int = 1, **options: Any
) -> Iterator[Subscriber]:
    """One that is live in all partitions of the topic."""
    logs = node.wait_for_topic(topic, partitions)
    with Subscriber(node.url, subject, **options) as found:
        yield found.wait_live(logs)


def as_record(message: Message) -> tuple[Any, ...]:
    """What a message says of its record, to be compared with `of_record`."""
    return (
        int(message.log.partition(".")[0]),
        message.at[1],
        max(message.at[0], 0),
        message.key,
        message.value,
        tuple(message.headers),
        message.time,
    )


def of_record(record: Record) -> tuple[Any, ...]:
    return (
        record.partition,
        record.offset,
        max(record.leader_epoch, 0),
        record.key,
        record.value,
        record.headers,
        record.timestamp_ms,
    )


def assert_exactly(messages: list[Message], records: list[Record]) -> None:
    """Each record once, in order within its partition and key, as Kafka has it, with its chain whole."""
    found, expected = sorted(map(as_record, messages)), sorted(map(of_record, records))
    missing = [one for one in expected if one not in found]
    wrong = [one for one in found if one not in expected]
    assert found == expected, f"missing {missing[:5]}; wrong {wrong[:5]}; {len(found)} instead of {len(expected)}"
    by_subject: dict[tuple[str, str], list[Message]] = {}
    for message in messages:
        by_subject.setdefault((message.log, message.subject), []).append(message)
    for same in by_subject.values():
        assert all(before.at < after.at for before, after in pairwise(same)), [m.at for m in same]
        for before, after in pairwise(same):
            assert after.prev in (None, before.at), (before.at, after)


def settled(subscriber: Subscriber, seconds: float = 0.4) -> list[Message]:
    """All messages, after a moment in which a repeat would have come."""
    time.sleep(seconds)
    return subscriber.messages
