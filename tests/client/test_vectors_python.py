"""The Python SDK's cores against client/vectors: subjects, codes, and frames and conversations in both encodings."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from whimbrel import codes, subjects
from whimbrel.encodings import ENCODINGS, Encoding
from whimbrel.errors import SubjectError
from whimbrel.events import Event, Gap, PublishDone, PublishFailed, Received, Refused
from whimbrel.frames import read
from whimbrel.interest import Interest
from whimbrel.message import Value
from whimbrel.outgoing import Outgoing
from whimbrel.outputs import Connect, Disconnect, Send
from whimbrel.session import Session, SessionConfig, State
from whimbrel.start import After, Last, Latest, Now, Resume, Since, Start

VECTORS = Path(__file__).parents[2] / "client" / "vectors"
SUBJECTS = json.loads((VECTORS / "subjects.json").read_text())
FRAMES = json.loads((VECTORS / "frames.json").read_text())
CONVERSATIONS = json.loads((VECTORS / "client.json").read_text())


def unbase64(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


# Subjects and codes.


@pytest.mark.parametrize("entry", SUBJECTS["subjects"], ids=lambda entry: repr(entry["subject"][:40]))
def test_subject_stands_for_topic_and_key(entry: dict[str, Any]) -> None:
    assert subjects.from_key(entry["topic"], unbase64(entry["key"])) == entry["subject"]
    assert subjects.to_key(entry["subject"]) == (entry["topic"], unbase64(entry["key"]))


@pytest.mark.parametrize("entry", SUBJECTS["not_subjects"], ids=lambda entry: repr(entry["text"][:40]))
def test_not_a_subject(entry: dict[str, Any]) -> None:
    with pytest.raises(SubjectError) as raised:
        subjects.to_key(entry["text"])
    if entry["right"]:
        assert repr(entry["right"]) in str(raised.value)


def test_patterns() -> None:
    for entry in SUBJECTS["patterns"]:
        assert subjects.is_pattern(entry["pattern"])
        subjects.check(entry["pattern"])
    for entry in SUBJECTS["not_patterns"]:
        with pytest.raises(SubjectError):
            subjects.check(entry["text"])
    for entry in SUBJECTS["matches"]:
        covering = {entry["subject"], *subjects.patterns_of(entry["subject"])}
        assert (entry["pattern"] in covering) is entry["matches"], entry


def test_every_code_of_the_table_says_what_to_do() -> None:
    for entry in json.loads((VECTORS / "codes.json").read_text()):
        expected = {40: "retry here", 41: "reconnect elsewhere", 42: "refresh the token", 43: "do not come back"}
        assert codes.on_close(entry["code"]).value == expected[entry["code"] // 100]
        assert codes.on_error(entry["code"]).value == expected[entry["code"] // 100]


# Frames.


def neutral(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame of the vectors as our encodings give it."""
    frame = dict(frame)
    if "value" in frame:
        frame["value"] = Value(frame["value"]["kind"], unbase64(frame["value"]["base64"]))
    if "headers" in frame:
        frame["headers"] = [(name, unbase64(raw)) for name, raw in frame["headers"]]
    return frame


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("entry", FRAMES["frames"], ids=lambda entry: entry["name"])
def test_frame(entry: dict[str, Any], name: str) -> None:
    encoding, data, frame = ENCODINGS[name], base64.b64decode(entry[name]), neutral(entry["frame"])
    decoded = encoding.decode(data.decode() if name == "json" else data)
    assert decoded == frame
    if entry["to"] == "client" and frame["op"] not in ("pong", "unsubscribed"):
        assert read(decoded) is not None
    encoded = encoding.encode(frame)
    assert encoding.decode(encoded) == frame
    if "decode_only" not in entry and name == "json":
        assert json.loads(encoded, parse_int=str) == json.loads(data, parse_int=str)  # of thousands of digits, too
    elif "decode_only" not in entry:
        assert ENCODINGS["msgpack"].decode(encoded) == ENCODINGS["msgpack"].decode(data)


# Conversations.


def start_of(step: dict[str, Any]) -> Start:
    if "resume" in step:
        return Resume({log: position and (position[0], position[1]) for log, position in step["resume"].items()})
    match step.get("from", "latest"):
        case "latest":
            return Latest()
        case "now":
            return Now()
        case {"last": count}:
            return Last(count)
        case {"time": time}:
            return Since(time)
        case {"at": positions}:
            return After({log: (epoch, seq) for log, (epoch, seq) in positions.items()})
    raise AssertionError(step)


def as_map(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame as the vectors have it: written as in the JSON sub-protocol, what is not listed left out."""
    listed: dict[str, Any] = json.loads(ENCODINGS["json"].encode(frame))
    listed.pop("client", None)
    return listed


def listed(value: Any) -> Any:
    return json.loads(json.dumps(value))


def by_subscription(tells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In order within each subscription; between them there is none."""
    return sorted(tells, key=lambda told: str(told.get("sub")))


class Runner:
    """A session, and what the vectors call its parts."""

    def __init__(self, encoding: Encoding, seed: int) -> None:
        self.now = 1000.0
        self.encoding = encoding
        config = SessionConfig(("ws://a.example/v1/ws",), encoding, "test/1")
        self.session = Session(config, Random(seed))
        self.interests: dict[str, Interest] = {}
        self.items: dict[str, Outgoing] = {}
        self.sends: list[dict[str, Any]] = []
        self.tells: list[dict[str, Any]] = []
        self.dropped = False
        self.session.start(self.now)
        self.flush()

    def flush(self) -> None:
        for output in self.session.take():
            match output:
                case Send(data):
                    assert not self.dropped
                    self.sends.append(as_map(self.encoding.decode(data)))
                case Connect():
                    self.dropped = False
                case Disconnect():
                    self.dropped = True
                case _:
                    if told := self.told(output):
                        self.tells.append(listed(told))

    def told(self, event: Event) -> dict[str, Any] | None:
        subs = {interest: name for name, interest in self.interests.items()}
        items = {item: name for name, item in self.items.items()}
        match event:
            case Received(interest, message):
                said = {"subject": message.subject, "log": message.log, "at": message.at}
                return {"sub": subs[interest], "message": said | ({"snapshot": True} if message.snapshot else {})}
            case Gap(interest, log, start, end, why):
                return {"sub": subs[interest], "gap": {"log": log, "from": start, "to": end, "why": why}}
            case Refused(interest, code):
                return {"sub": subs[interest], "failed": code}
            case PublishDone(item, log, at):
                return {"publish": items[item], "published": {"log": log, "at": at}}
            case PublishFailed(item, code):
                return {"publish": items[item], "failed": code}
        return None

    def pass_time(self, until: float) -> None:
        """Tick when the session asks for it, no more and no less."""
        while (deadline := self.session.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.session.tick(self.now)
            self.flush()
            if self.session.state is State.OPENING:
                return
        self.now = until

    def do(self, step: dict[str, Any]) -> None:
        session = self.session
        if said := step.get("subscribe"):
            interest = self.interests[said["as"]] = Interest(said["subject"], start_of(said))
            session.subscribe(self.now, interest)
        elif "unsubscribe" in step:
            session.unsubscribe(self.now, self.interests[step["unsubscribe"]])
        elif said := step.get("publish"):
            frame = {key: value for key, value in said.items() if key not in ("as", "subject")}
            neutral = ENCODINGS["json"].decode(json.dumps({"op": "publish", **frame}))
            item = Outgoing(said["subject"], neutral["value"], neutral.get("headers", []), self.now + 1000)
            self.items[said["as"]] = item
            session.publish(self.now, item)
        elif "open" in step:
            self.pass_time(self.now + 20)
            assert session.state is State.OPENING
            session.opened(self.now)
        elif "receive" in step:
            data = self.encoding.encode(ENCODINGS["json"].decode(json.dumps(step["receive"])))
            session.receive(self.now, data)
        elif "lost" in step:
            session.lost(self.now, step["lost"], "-")
        elif "token" in step:
            self.pass_time(self.now + 10)
            session.set_token(self.now, step["token"])
        else:
            self.pass_time(self.now + step["wait_s"])
        self.flush()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation["title"])
def test_conversation(conversation: dict[str, Any], encoding: str) -> None:
    for seed in range(3):
        runner = Runner(ENCODINGS[encoding], seed)
        for number, step in enumerate(conversation["steps"]):
            where = f"step {number}: {step}"
            runner.sends, runner.tells = [], []
            runner.do(step)
            expected = json.loads(json.dumps(step.get("sends", [])).replace("$publisher", runner.session.publisher))
            assert runner.sends == expected, where
            assert by_subscription(runner.tells) == by_subscription(step.get("tells", [])), where
            for name, place in step.get("places", {}).items():
                assert listed(runner.interests[name].track.place) == place, where
            if "then" in step:
                states = {
                    "reconnect": (State.PAUSING, State.OPENING),
                    "token": (State.TOKEN,),
                    "stop": (State.CLOSED,),
                }
                assert runner.session.state in states[step["then"]], where
            if step.get("then") == "token":
                runner.session.set_token(runner.now, "new")
                assert runner.session.state is State.PAUSING
