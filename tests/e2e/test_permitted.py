"""A subscription by pattern brings what its client may read and nothing else, whichever way it comes: live, the latest
values, history, resumed from the cache and replayed from Kafka; and after a renewal that takes a permission away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.kafka.broker import RealKafka
from tests.gateway.authorizers.signing import SECRET, token
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.raw import Frame, Raw

pytestmark = pytest.mark.slow

FORBIDDEN = 4312
HERS = ["alice/1", "alice/2/deep", "alice/"]
OTHERS = ["alice", "alicex/1", "ali", "bob/1", "%61lice/1", "ALICE/1", "alice\\1", None]
"""Some look as if they were alice's."""
KEYS = [*HERS, *OTHERS]
ROUNDS, KEPT = 30, 4
"""Records of each key, and how many of these the cache keeps."""


class Reader(Raw):
    """A client that is asked what a subscription brings."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token=token)
        self.subscriptions: list[int] = []

    def brings(self, subject: str, **start: Any) -> list[tuple[str, int]]:
        """Subject and offset of all that comes before it is live, or the code that it is refused with."""
        began = len(self.frames)
        number = self.send("subscribe", subject=subject, **start)
        self.subscriptions.append(number)
        last = self.until(
            lambda frame: frame["op"] in ("live", "error") and number in (frame.get("sub"), frame.get("id"))
        )
        if last["op"] == "error":
            raise Refused(last["code"])
        return [of(frame) for frame in self.frames[began:] if frame["op"] == "msg"]


class Refused(Exception):
    """A subscription was refused with this code."""


def of(frame: Frame) -> tuple[str, int]:
    return frame["subject"], frame["at"][1]


@pytest.fixture
def topic(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> str:
    name = unique_topic()
    real_kafka.create_topic(name)
    return name


@pytest.fixture
def node(real_kafka: RealKafka, topic: str, tmp_path: Path) -> Iterator[RunningNode]:
    """Its cache holds the end of each subject only, its pages are small, and tokens say who may read what."""
    (tmp_path / "whimbrel.toml").write_text(f"[authorizer]\nuse = 'jwt'\nsecret = '{SECRET}'\n")
    settings = {"cache.messages_per_subject": f"{KEPT}", "client.outbox_bytes": "1KiB"}
    one = RunningNode(tmp_path, real_kafka.bootstrap, topic, settings=settings)
    one._command += ["--config", str(tmp_path / "whimbrel.toml")]
    with one:
        yield one


def may_read(*subjects: str) -> str:
    return token({"whimbrel": {"subscribe": subjects}})


def test_no_way_brings_what_may_not_be_read(real_kafka: RealKafka, topic: str, node: RunningNode) -> None:
    source = Source(real_kafka.bootstrap)
    everything, alices = f"/{topic}/*", f"/{topic}/alice/*"

    def produce(rounds: int) -> None:
        for number in range(rounds):
            for key in KEYS:
                source.add(topic, key, b"%d" % number)
        source.flush()

    def hers(first: int, end: int) -> list[tuple[str, int]]:
        """Those records of hers with these offsets."""
        size = len(KEYS)
        return [
            (f"/{topic}/{KEYS[offset % size]}", offset) for offset in range(first, end) if offset % size < len(HERS)
        ]

    produce(ROUNDS)
    (log,) = node.wait_for_topic(topic, 1)
    count = ROUNDS * len(KEYS)
    node.wait(lambda: node.partitions(topic)[0]["end"][1] == count - 1, "all records")
    cached = count - 2 * len(KEYS)
    starts: list[tuple[dict[str, Any], list[tuple[str, int]]]] = [
        ({"from": "now"}, []),
        ({"from": "latest"}, hers(0, count)[-len(HERS) :]),
        ({"from": {"last": 5}}, hers(0, count)[-5:]),
        ({"from": {"time": 0}}, hers(0, count)),
        ({"resume": {log: [0, cached - 1]}}, hers(cached, count)),
        ({"resume": {log: [0, -1]}}, hers(0, count)),
    ]
    with Reader(node.url, token=may_read(alices)) as alice, Reader(node.url, token=may_read(everything)) as other:
        other.brings(everything, **{"from": "now"})  # so that what alice may not read is live in her worker
        for start, wanted in starts:
            replayed = node.metric("whimbrel_replay_records_total")
            assert sorted(alice.brings(alices, **start)) == sorted(wanted), start
            if len(wanted) > len(HERS) * KEPT:
                node.wait(lambda was=replayed: node.metric("whimbrel_replay_records_total") > was, "read from Kafka")
            for wider in (everything, f"/{topic}/alicex/*", f"/{topic}/alice", f"/{topic}", f"/{topic}/bob/1"):
                with pytest.raises(Refused, match=f"{FORBIDDEN}"):
                    alice.brings(wider, **start)
        assert not [frame for frame in alice.frames if frame["op"] == "gap" or frame.get("gaps")]
        began = len(alice.frames)

        with Reader(node.url, token=may_read(everything)) as one:
            assert one.brings(everything, **{"from": "now"}) == []
            assert one.brings(alices, **{"from": "now"}) == []
            wide, kept = one.subscriptions
            replaying = one.send("subscribe", subject=everything, resume={log: [0, -1]})
            one.send("renew", token=may_read(alices))
            produce(1)
            ended = [one.until(lambda frame: frame["op"] == "error") for _ in range(2)]
            assert {frame["id"]: frame["code"] for frame in ended} == {wide: FORBIDDEN, replaying: FORBIDDEN}
            renewed = len(one.frames)
            produce(1)
            last = count + 2 * len(KEYS)
            one.until(lambda frame: frame["op"] == "msg" and of(frame) == hers(0, last)[-1])
            after = [of(frame) for frame in one.frames[renewed:] if frame["op"] == "msg"]
            assert set(after) <= {*hers(count, last)}, "what may be read no more"
            live = [of(frame) for frame in one.frames if frame["op"] == "msg" and frame["at"][1] >= last - len(KEYS)]
            assert live == hers(last - len(KEYS), last), "what may be read goes on, each message once"
            assert not [frame for frame in one.frames[renewed:] if frame.get("sub", kept) != kept]
            for start in ({"resume": {log: [0, count]}}, {"from": "latest"}):
                with pytest.raises(Refused, match=f"{FORBIDDEN}"):
                    one.brings(everything, **start)

        alice.until(lambda frame: frame["op"] == "msg" and of(frame) == hers(0, last)[-1])
        live = [of(frame) for frame in alice.frames[began:] if frame["op"] == "msg"]
        other.until(lambda frame: frame["op"] == "msg" and of(frame) == hers(0, last)[-1])
        assert live == hers(count, last), "live, each message once whatever many subscriptions she has"
