"""Whatever the network and a faulty server do: each message once and in order, or inside a gap that was stated.

A real session talks to a fake cluster over a list. Chance chooses what happens: appends, frames that arrive, message
frames that are lost or repeated, connections that end, heartbeats, retention, an application that is behind, time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.fake_cluster import FakeCluster, FakeConnection, matches
from tests.support.seeds import examples
from whimbrel.encodings import ENCODINGS
from whimbrel.events import Gap, Received, Resumed, Subscribed
from whimbrel.interest import Interest
from whimbrel.outputs import Connect, Disconnect, Output, Send
from whimbrel.place import CHAIN_MAX, Track, Verdict
from whimbrel.session import Session, SessionConfig, State
from whimbrel.start import Latest, Now, Position, Positions, Resume, Start

LOGS = ("0.x", "1.x")
SUBJECTS = ("/t/a", "/t/b", "/t/p/c")
ENCODING = ENCODINGS["json"]

# A loss that has not shown yet can no longer be noticed once a gap or rule 8 has made the client forget what it had. So
# losses are tried without these, and these without losses.
faults = st.one_of(
    st.tuples(st.just("append"), st.sampled_from(LOGS), st.sampled_from(SUBJECTS)),
    st.tuples(st.just("deliver"), st.integers(1, 5)),
    st.tuples(st.just("repeat a message")),
    st.tuples(st.just("cut")),
    st.tuples(st.just("heartbeat")),
    st.tuples(st.just("pass time"), st.floats(0.01, 30)),
    st.tuples(st.just("suspend or resume")),
)
losses = st.tuples(st.just("lose a message"))
retention = st.tuples(st.just("retain"), st.sampled_from(LOGS))


def known(place: Mapping[str, Position | None]) -> Positions:
    return {log: position for log, position in place.items() if position is not None}


class World:
    """One client, one cluster, the frames between them, and what the application was told."""

    def __init__(self, starts: list[tuple[str, Start]], seed: int, chain_max: int) -> None:
        self.now = 0.0
        self.cluster = FakeCluster(*LOGS)
        self.connection: FakeConnection | None = None
        self.session = Session(SessionConfig(("ws://a", "ws://b"), ENCODING, "test"), Random(seed))
        self.interests = [Interest(subject, start) for subject, start in starts]
        self.received: dict[Interest, list[tuple[str, str, Position, bool]]] = {i: [] for i in self.interests}
        self.gaps: dict[Interest, list[Gap]] = {interest: [] for interest in self.interests}
        self.began: dict[Interest, Positions] = {}
        """The place of the last fresh answer: everything after it was promised."""
        for log in LOGS:
            for subject in SUBJECTS:
                self.cluster.append(log, subject)
        self.session.start(self.now)
        for interest in self.interests:
            interest.track = Track(chain_max)
            self.session.subscribe(self.now, interest)
        self.flush()

    def flush(self) -> None:
        while outputs := self.session.take():
            for output in outputs:
                self.perform(output)

    def perform(self, output: Output) -> None:
        match output:
            case Connect():
                assert self.connection is None
                self.connection = FakeConnection(self.cluster)
                self.session.opened(self.now)
            case Send(data):
                assert self.connection is not None
                self.connection.receive(json.loads(data))
            case Disconnect():
                self.end_connection()
            case Received(interest, message):
                self.received[interest].append((message.log, message.subject, message.at, message.snapshot))
            case Gap(interest):
                self.gaps[interest].append(output)
            case Subscribed(interest):
                self.began[interest] = known(interest.track.place)
            case Resumed(interest) if interest not in self.began:
                assert isinstance(interest.start, Resume)
                self.began[interest] = dict.fromkeys(LOGS, (0, -1)) | known(interest.start.place)

    def end_connection(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def do(self, fault: tuple[Any, ...]) -> None:
        queue = self.connection.to_client if self.connection else []
        messages = [n for n, frame in enumerate(queue) if frame["op"] == "msg" and "snapshot" not in frame]
        match fault:
            case ("append", log, subject):
                self.cluster.append(log, subject)
            case ("deliver", count):
                self.deliver(count)
            case ("lose a message",) if messages:
                del queue[messages[0]]
            case ("repeat a message",) if messages:
                queue.insert(messages[-1], queue[messages[0]])
            case ("cut",) if self.connection:
                self.end_connection()
                self.session.lost(self.now, None, "cut")
            case ("heartbeat",) if self.connection:
                self.connection.heartbeat()
            case ("retain", log):
                self.cluster.first_kept[log] = len(self.cluster.logs[log]) - 1
            case ("pass time", seconds):
                self.pass_time(seconds)
            case ("suspend or resume",):
                interest = self.interests[0]
                change = self.session.resume if interest.suspended else self.session.suspend
                change(self.now, interest)
        self.flush()

    def deliver(self, count: int) -> None:
        for _ in range(count):
            if self.connection and self.connection.to_client:
                frame = self.connection.to_client.pop(0)
                self.session.receive(self.now, json.dumps(frame))
                self.flush()

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while (deadline := self.session.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.session.tick(self.now)
            self.flush()
        self.now = until

    def settle(self) -> None:
        """No more faults: one more message of every subject, so that losses show, then everything is delivered."""
        if self.interests[0].suspended:
            self.do(("suspend or resume",))
        self.catch_up()
        for log in LOGS:
            for subject in SUBJECTS:
                self.cluster.append(log, subject)
        self.catch_up()

    def catch_up(self) -> None:
        for _ in range(30):
            self.pass_time(2)
            if self.connection:
                self.connection.heartbeat()
            while self.connection and self.connection.to_client:
                self.deliver(1)
        assert self.session.state is State.READY
        assert all(interest.track.live == set(LOGS) for interest in self.interests)

    def check(self) -> None:
        for interest in self.interests:
            received = self.received[interest]
            news = [(log, subject, at) for log, subject, at, snapshot in received if not snapshot]
            assert len(set(news)) == len(news), "a message came twice"
            for log in LOGS:
                for subject in SUBJECTS:
                    positions = [at for at_log, name, at, _ in received if (at_log, name) == (log, subject)]
                    assert positions == sorted(set(positions)), "out of order, or a snapshot again"
            for log, records in self.cluster.logs.items():
                for record in records:
                    if matches(interest.subject, record.subject) and record.at > self.began[interest][log]:
                        name = (log, record.subject, record.at)
                        had = name in news or (*name, True) in received
                        assert had or self.in_gap(interest, log, record.at), f"{log} {record} neither came nor in a gap"

    def in_gap(self, interest: Interest, log: str, at: Position) -> bool:
        return any(
            gap.log == log and (gap.start is None or gap.start < at) and (gap.end is None or at <= gap.end)
            for gap in self.gaps[interest]
        )


STARTS: list[tuple[str, Start]] = [
    ("/t/*", Now()),
    ("/t/a", Latest()),
    ("/t/p/*", Resume({"0.x": (0, 1)})),
    ("/t/a", Now()),
]


starts = st.lists(st.sampled_from(STARTS), min_size=1, max_size=3)
seeds = st.integers(0, 2**32)


@given(st.lists(st.one_of(faults, losses), max_size=60), starts, seeds)
@settings(max_examples=examples(150), deadline=None)
def test_each_message_once_and_in_order_or_in_a_stated_gap(
    happens: list[tuple[Any, ...]], starts: list[tuple[str, Start]], seed: int
) -> None:
    world = World(starts, seed, CHAIN_MAX)
    for fault in happens:
        world.do(fault)
    world.settle()
    world.check()


@given(st.lists(st.one_of(faults, retention), max_size=60), starts, seeds)
@settings(max_examples=examples(150), deadline=None)
def test_gaps_are_true_and_forgetting_the_chain_repeats_nothing(
    happens: list[tuple[Any, ...]], starts: list[tuple[str, Start]], seed: int
) -> None:
    world = World(starts, seed, chain_max=1)
    for fault in happens:
        world.do(fault)
    world.settle()
    world.check()


@pytest.mark.parametrize("fault", ["lose a message", "retain"])
def test_every_way_to_recover_is_taken_often(fault: str) -> None:
    """The same with chances that make each of them likely, and counted."""
    missing = repeated = gaps = 0
    for seed in range(200):
        rng = Random(seed)
        world = World(rng.sample(STARTS, 2), seed, CHAIN_MAX if fault == "lose a message" else 1)
        for _ in range(60):
            kind = rng.choice(["append"] * 3 + ["deliver"] * 2 + [fault, "repeat a message"])
            if rng.random() < 0.1:
                kind = rng.choice(["cut", "heartbeat", "pass time", "suspend or resume"])
            arguments = {
                "append": (rng.choice(LOGS), rng.choice(SUBJECTS)),
                "deliver": (rng.randint(1, 5),),
                "retain": (rng.choice(LOGS),),
                "pass time": (rng.uniform(0.01, 30),),
            }
            world.do((kind, *arguments.get(kind, ())))
        world.settle()
        world.check()
        missing += world.session.stats.missing
        repeated += world.session.stats.repeated
        gaps += sum(map(len, world.gaps.values()))
    assert repeated > 500
    assert missing > 200 if fault == "lose a message" else gaps > 50, (missing, gaps)


def test_the_checker_sees_a_client_that_does_not_check_prev(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Track.take
    monkeypatch.setattr(Track, "take", lambda self, log, subject, at, prev: take(self, log, subject, at, None))
    world = World([("/t/a", Now())], 1, CHAIN_MAX)
    world.do(("deliver", 10))
    for fault in [("append", "0.x", "/t/a"), ("append", "0.x", "/t/a"), ("lose a message",)]:
        world.do(fault)
    world.settle()
    with pytest.raises(AssertionError, match="neither came"):
        world.check()


def test_the_checker_sees_a_client_that_does_not_drop_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Track.take

    def careless(self: Track, log: str, subject: str, at: Position, prev: Position | None) -> Verdict:
        verdict = take(self, log, subject, at, prev)
        return Verdict.HAND_OVER if verdict is Verdict.REPEAT else verdict

    monkeypatch.setattr(Track, "take", careless)
    world = World([("/t/a", Now())], 1, CHAIN_MAX)
    world.do(("deliver", 10))
    for fault in [("append", "0.x", "/t/a"), ("repeat a message",)]:
        world.do(fault)
    world.settle()
    with pytest.raises(AssertionError, match="came twice"):
        world.check()
