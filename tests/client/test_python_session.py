"""The session of the Python SDK by itself, where the vectors do not reach: connections, silence, purity."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

from whimbrel.encodings import ENCODINGS
from whimbrel.events import Reconnecting
from whimbrel.interest import Interest
from whimbrel.message import Value
from whimbrel.outgoing import Outgoing
from whimbrel.outputs import Connect, Disconnect, Send
from whimbrel.place import Track
from whimbrel.session import Session, SessionConfig, State
from whimbrel.start import Latest, Now

JSON = ENCODINGS["json"]

WELCOME = '{"op":"welcome","id":1,"node":"a","cluster":"c","heartbeat_s":5,"servers":[],"limits":{}}'


def opened(*servers: str) -> tuple[Session, str]:
    session = Session(SessionConfig(servers, JSON, "test"), Random(1))
    session.start(0)
    (action,) = session.take()
    assert isinstance(action, Connect)
    session.opened(0)
    session.take()
    return session, action.server


def test_a_server_that_says_no_welcome_is_left() -> None:
    session, _ = opened("a")
    assert session.deadline == 10
    session.tick(10)
    assert Disconnect(at_once=True) in session.take()
    assert session.state is State.PAUSING


def test_silence_means_nothing_while_nothing_is_read() -> None:
    session, _ = opened("a")
    session.receive(0, WELCOME)
    session.reading(1, False)
    session.tick(100)
    assert session.state is State.READY
    session.reading(100, True)
    assert session.deadline == 110


def test_silence_counts_again_on_the_next_connection() -> None:
    session, _ = opened("a")
    session.receive(0, WELCOME)
    session.reading(1, False)
    session.lost(2, None, "cut")
    session.tick(3)
    session.opened(3)
    session.receive(3, WELCOME)
    assert session.deadline == 13


def test_the_chain_is_kept_while_snapshots_may_come_again() -> None:
    session, _ = opened("a")
    interest = Interest("/t/*", Latest())
    interest.track = Track(chain_max=1)
    session.subscribe(0, interest)
    answers = [
        '{"op":"subscribed","id":2,"answer":"fresh","at":{"0.x":[0,5]}}',
        '{"op":"msg","sub":2,"snapshot":true,"subject":"/t/a","log":"0.x","at":[0,1],"json":1}',
        '{"op":"msg","sub":2,"snapshot":true,"subject":"/t/b","log":"0.x","at":[0,2],"json":1}',
        '{"op":"msg","sub":2,"subject":"/t/c","log":"0.x","at":[0,6],"json":1}',
    ]
    for answer in answers:
        session.receive(0, answer)
    session.lost(1, None, "cut")
    session.tick(2)
    session.opened(2)
    for answer in answers[:3]:
        session.receive(2, answer)
    assert session.stats.received == 3
    assert session.stats.repeated == 2


def test_a_server_that_sends_what_is_not_a_frame_is_left() -> None:
    session, server = opened("a", "b")
    session.receive(0, WELCOME)
    session.receive(1, '{"op":"live"}')
    *_, drop, lost = session.take()
    assert drop == Disconnect(at_once=False)
    assert isinstance(lost, Reconnecting)
    assert "`live` without 'sub'" in lost.reason
    session.tick(2)
    (action,) = session.take()
    assert isinstance(action, Connect)
    assert action.server != server


def test_move_goes_to_another_server_without_a_further_pause() -> None:
    session, server = opened("a", "b")
    session.receive(0, WELCOME)
    session.receive(0, '{"op":"move","within_s":4}')
    at = session.deadline
    assert at is not None
    assert 0 < at < 4
    session.tick(at)
    *_, drop, action = session.take()
    assert drop == Disconnect(at_once=False)
    assert isinstance(action, Connect)
    assert action.server != server


def test_a_second_loss_at_once_is_resumed_after_a_pause() -> None:
    session, _ = opened("a")
    session.receive(0, WELCOME)
    interest = Interest("/t/a", Now())
    session.subscribe(0, interest)
    msg = '{"op":"msg","sub":%d,"subject":"/t/a","log":"0.x","at":[0,9],"prev":[0,8],"json":1}'
    session.receive(0, '{"op":"subscribed","id":2,"answer":"fresh","at":{"0.x":[0,1]}}')
    session.receive(0, msg % 2)
    assert interest.id == 4
    session.receive(0, '{"op":"subscribed","id":4,"answer":"full","at":{"0.x":[0,1]}}')
    session.receive(0.1, msg % 4)
    assert interest.id is None
    at = session.deadline
    assert at is not None
    assert 0.1 < at < 0.4
    session.tick(at)
    assert interest.id == 6


# Purity.


def driven(seed: int) -> str:
    """What a session puts out over a life with losses, refusals, publishes and a change of server."""
    session, now, said = Session(SessionConfig(("a", "b", "c"), JSON, "test"), Random(seed)), 0.0, list[str]()
    interests = [Interest("/t/*", Latest()), Interest("/t/a", Now())]

    def take() -> None:
        said.extend(repr(output) for output in session.take() if isinstance(output, Connect | Send | Disconnect))

    session.start(now)
    for interest in interests:
        session.subscribe(now, interest)
    session.publish(now, Outgoing("/t/a", Value("json", b"1"), [], 1000))
    for _ in range(30):
        while session.state is not State.OPENING and session.deadline is not None:
            now = max(now, session.deadline)
            session.tick(now)
            take()
        session.opened(now)
        take()
        session.receive(now, WELCOME)
        logs = ",".join(f'"{name}":[0,1]' for name in "zyxwvutsrq")
        for interest in interests:
            session.receive(now, f'{{"op":"subscribed","id":{interest.id},"answer":"fresh","at":{{{logs}}}}}')
            session.receive(now, f'{{"op":"live","sub":{interest.id},"at":{{{logs}}}}}')
        session.receive(now, f'{{"op":"heartbeat","at":{{{logs.replace("1", "2")}}}}}')
        take()
        session.receive(now, '{"op":"msg","subject":"/t/a","log":"z","at":[0,9],"prev":[0,8],"json":1}')
        session.lost(now, None, "cut")
        take()
    return "\n".join(said)


def test_the_same_seed_and_inputs_give_the_same_outputs_in_every_process() -> None:
    assert driven(1) == driven(1) != driven(2)
    script = "from tests.client.test_python_session import driven; print(driven(1))"
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.stdout == driven(1) + "\n", ran.stderr
