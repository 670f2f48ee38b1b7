"""Log lines: one per event, whatever the values hold."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.logs import JsonFormatter, TextFormatter, event, exception, set_up

LOG = logging.getLogger("node.bridge")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.root
    before = root.handlers, root.level, logging.raiseExceptions
    yield
    root.handlers, root.level, logging.raiseExceptions = before
    logging.captureWarnings(False)


def record(message: object = "member_down", *args: object, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("node.bridge", logging.WARNING, __file__, 1, message, args, None)
    made.created, made.msecs = 1700000000.25, 250.0
    if fields:
        made.fields = fields
    return made


def text(*args: Any, **fields: Any) -> str:
    return TextFormatter().format(record(*args, **fields))


def as_json(*args: Any, **fields: Any) -> Any:
    line = JsonFormatter().format(record(*args, **fields))
    assert "\n" not in line
    return msgspec.json.decode(line)


class Broken:
    def __str__(self) -> str:
        raise RuntimeError


def test_text_is_the_event_then_its_fields() -> None:
    assert text(node="c", incarnation=4, after_s=3.2, ok=True, none=None) == (
        "2023-11-14T22:13:20.250Z warning node.bridge member_down node=c incarnation=4 after_s=3.2 ok=true none=null"
    )


def test_json_is_one_object_with_the_same() -> None:
    assert as_json(node="c", incarnation=4, at=(0, 7), more={"a": b"\xff"}) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "node.bridge",
        "event": "member_down",
        "node": "c",
        "incarnation": 4,
        "at": [0, 7],
        "more": {"a": "\\xff"},
    }


def type_of(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain-/x*", "plain-/x*"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("line\nforged event", '"line\\nforged event"'),
        ("\x1b[2Jx", '"\\u001b[2Jx"'),
        ("\x85x", '"\\u0085x"'),
        ("Zürich", "Zürich"),
        ("\udc80", '"\\\\udc80"'),
        (b"bytes", "bytes"),
        ([1, "a"], '[1,"a"]'),
        (float("nan"), "nan"),
        (ValueError("x y"), '"x y"'),
        (Broken(), "<Broken>"),
        (1 << 63, "0x8000000000000000"),
    ],
    ids=type_of,
)
def test_a_value_stays_on_its_line_and_reads_as_one_value(value: object, shown: str) -> None:
    assert text(value=value).partition(" value=")[2] == shown


def test_names_of_fields_that_are_ours_are_kept_apart() -> None:
    found = as_json(event="x", time=1, level="y")
    assert (found["event"], found["event_"], found["time_"], found["level_"]) == ("member_down", "x", 1, "y")


def test_other_libraries_messages_come_out_the_same_way() -> None:
    assert text("retry %s of %d\nnow", "a", 3).endswith(" node.bridge retry a of 3\\nnow")
    assert as_json("retry %s of %d", "a", 3)["event"] == "retry a of 3"
    assert as_json("wrong %d", "a")["event"] == "wrong %d"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs"]))
    | st.binary()
    | st.just(Broken()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)


names = st.from_regex("[a-z_]{1,8}", fullmatch=True)


@given(st.text(), st.dictionaries(names, values, max_size=4))
def test_any_value_gives_one_valid_line(message: str, fields: dict[str, Any]) -> None:
    made = record(message)
    made.fields = fields
    found = msgspec.json.decode(JsonFormatter().format(made), type=dict[str, Any])
    assert found["logger"] == "node.bridge"
    assert len(found) <= 4 + len(fields)
    line = TextFormatter().format(made)
    assert len(line.splitlines()) == 1
    line.encode()


def test_a_structure_that_holds_itself_is_cut_off() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert as_json(loop=loop)["loop"] == [[[["[[...]]"]]]]


@pytest.mark.parametrize("format", ["text", "json"])
def test_events_reach_standard_error_from_the_level_on(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(format, "info")
    event(LOG, "kafka_assigned", topic="flights", partitions=12)
    event(LOG, "not_shown", logging.DEBUG)
    event(LOG, "slow", logging.WARNING, name="field", log="x", level=3)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    if format == "json":
        assert json.loads(lines[0])["partitions"] == 12
        assert json.loads(lines[1]) | {"time": 0} == {
            "time": 0,
            "level": "warning",
            "logger": "node.bridge",
            "event": "slow",
            "name": "field",
            "log": "x",
            "level_": 3,
        }
    else:
        assert lines[0].endswith(" info node.bridge kafka_assigned topic=flights partitions=12")


def test_an_exception_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")
    try:
        raise OSError("no\nway")
    except OSError:
        exception(LOG, "failed")
        found = json.loads(capsys.readouterr().err)
        assert found["exception"].startswith("Traceback ")
        assert found["exception"].endswith("OSError: no\nway")
        set_up("text", "info")
        exception(LOG, "failed")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith(" error node.bridge failed")
    assert rest[0].startswith("Traceback ")


def test_a_log_that_cannot_be_written_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    set_up("text", "info")
    event(LOG, "said")
