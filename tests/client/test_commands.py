"""`whimbrel subscribe` and `publish` against a fake cluster: in this process, and as processes with signals."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whimbrel.servers
from node import cli
from node.commands import connecting, subscribe
from node.commands.subscribe import json_line, text_line
from tests.client.test_python_blocking import ServerThread
from tests.support.patience import PATIENCE_S
from whimbrel.events import Gap, Missing
from whimbrel.interest import Interest
from whimbrel.message import Message, Value
from whimbrel.start import Now


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    monkeypatch.setattr(whimbrel.servers, "FIRST_PAUSE_S_MAX", 0.01)
    thread = ServerThread()
    monkeypatch.setenv("WHIMBREL_SERVER", thread.server.url)
    yield thread
    thread.stop()


def message(kind: str, raw: bytes | None, **more: Any) -> Message:
    given: dict[str, Any] = {
        "subject": "/t/a",
        "content": Value(kind, raw),
        "headers": [],
        "time": 1700000000123,
        "log": "0.x",
        "at": (0, 7),
        "prev": None,
        "snapshot": False,
    }
    return Message(**(given | more))


def test_subscribe_prints_a_line_for_each_message(fake: ServerThread, capsys: pytest.CaptureFixture[str]) -> None:
    fake.run(fake.server.append("/t/a", "/t/b", "/u/c"))
    assert cli.run(["subscribe", "/t/*", "/u/c", "--count", "3"]) == 0
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == ['- /t/a {"seq":0}', '- /t/b {"seq":1}', '- /u/c {"seq":2}']
    assert f"whimbrel: connected to {fake.server.url}/v1/ws" in err
    assert "whimbrel: subscribed to /t/*" in err


def test_subscribe_json_from_a_start(fake: ServerThread, capsys: pytest.CaptureFixture[str]) -> None:
    fake.run(fake.server.append("/t/a"))
    assert cli.run(["subscribe", "/t/a", "--json", "--from", "latest", "--count", "1", "--quiet"]) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["subject"], said["at"], said["json"], said["snapshot"]) == ("/t/a", [0, 0], {"seq": 0}, True)
    assert err == ""


@pytest.mark.parametrize(
    ("start", "sent"),
    [
        ("now", "now"),
        ("last:5", {"last": 5}),
        ("time:1700000000000", {"time": 1700000000000}),
        ("time:2023-11-14T22:13:20Z", {"time": 1700000000000}),
    ],
)
def test_subscribe_from(fake: ServerThread, start: str, sent: Any) -> None:
    fake.server._connection = {"refuse": {"subscribe": 4318}}
    assert cli.run(["subscribe", "/t/a", "--from", start]) == 1
    assert fake.server.frames[-1]["from"] == sent


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["subscribe", "t/a"], "a subject begins with `/`: 't/a'"),
        (["subscribe", "/t/a", "--from", "last:0"], "--from: found 'last:0', expected latest, now, last:N or time:T"),
        (["subscribe", "/t/a", "--from", "time:soon"], "--from: found 'time:soon'"),
        (["subscribe", "/t/a", "--server", "ftp://x"], "'ftp://x'"),
        (["subscribe", "/t/a", "--server", "localhost:65536"], "'localhost:65536'"),
        (["publish", "/t/*", "1"], "a `*` in a key is written %2A"),
        (["publish", "/t/a"], "give a VALUE"),
        (["publish", "/t/a", "1", "--tombstone"], "give a VALUE"),
        (["publish", "/t/a", "{", "--json"], "--json: not JSON"),
        (["publish", "/t/a", "é", "--bytes-base64"], "--bytes-base64: not base64"),
        (["publish", "/t/a", "1", "--header", "x"], "--header: found 'x', expected NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


@pytest.mark.parametrize("seconds", ["2s", "0", "-3", "nan"])
def test_what_is_no_time_is_said(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(["publish", "/t/a", "1", "--timeout", seconds])
    assert ended.value.code == 2
    assert f"argument --timeout: found '{seconds}', expected a number above 0" in capsys.readouterr().err


def test_a_refusal_is_said(fake: ServerThread, capsys: pytest.CaptureFixture[str]) -> None:
    fake.server._connection = {"refuse": {"subscribe": 4311, "publish": 4313}}
    assert cli.run(["subscribe", "/t/a"]) == 1
    assert "whimbrel: subscribe to /t/a: 4311" in capsys.readouterr().err
    assert cli.run(["publish", "/t/a", "1"]) == 1
    assert "whimbrel: publish to /t/a: 4313" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["hello"], {"text": "hello"}),
        (['{"a": 1.0}', "--json"], {"json": {"a": 1.0}}),
        (["AP8=", "--bytes-base64"], {"base64": "AP8="}),
        (["--tombstone"], {"tombstone": True}),
        (["--json", "[1]"], {"json": [1]}),
        (["--header", "a=b", "-5"], {"text": "-5", "headers": [["a", "b"]]}),
        (["x", "--header", "a=b=c", "--header", "a="], {"text": "x", "headers": [["a", "b=c"], ["a", ""]]}),
    ],
)
def test_publish(
    fake: ServerThread, arguments: list[str], sent: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["publish", "/t/a", *arguments]) == 0
    assert capsys.readouterr().out == "0.x 0,0\n"
    frame = fake.server.frames[-1]
    assert {
        key: value for key, value in frame.items() if key in ("json", "text", "base64", "tombstone", "headers")
    } == sent


def test_a_publish_without_a_position_is_acknowledged_all_the_same(
    fake: ServerThread, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import whimbrel

    async def publish(*_: Any, **__: Any) -> whimbrel.Published:
        return whimbrel.Published("?", None)

    monkeypatch.setattr(whimbrel.Client, "publish", publish)
    assert cli.run(["publish", "/t/a", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == "- -\n"
    assert err.startswith("whimbrel: acknowledged: Kafka has the message; its position")


def test_a_server_out_of_reach_is_told_once_and_with_the_outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(whimbrel.servers, "FIRST_PAUSE_S_MAX", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        assert cli.run(["publish", "/t/a", "1", "--server", server, "--timeout", "0.1"]) == 1
    reason = f"cannot reach {server}/v1/ws (connection refused)"
    assert capsys.readouterr() == (
        "",
        f"whimbrel: {reason}; trying again, for at most 0.1 s\n"
        f"whimbrel: publish to /t/a: not acknowledged in time; no connection: {reason}\n",
    )


def test_even_quietly_a_server_that_stays_out_of_reach_is_told(
    fake: ServerThread, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.run(fake.server.append("/t/a"))
    fake.server.close_at_hello = [4009] * 3
    arguments = ["subscribe", "/t/a", "--quiet", "--count", "1"]
    assert cli.run(arguments) == 0
    assert capsys.readouterr().err == ""
    fake.server.close_at_hello = [4009] * 3
    monkeypatch.setattr(connecting, "QUIET_S", 0.0)
    assert cli.run(arguments) == 0
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "whimbrel: 4009 by the test; trying again"
    assert err[1].startswith("whimbrel: connected to ")
    assert len(err) == 2


async def _told(*gaps: Gap) -> None:
    telling = subscribe._Gaps()
    for gap in gaps:
        telling.add(gap)
    await asyncio.sleep(2 * subscribe.FOLD_S)
    telling.tell()


def test_gaps_are_told_in_words_and_those_of_many_logs_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    one, all_ = Interest("/chat/1", Now()), Interest("/chat/*", Now())
    few = [Gap(one, "0.x", (0, 5), (1, 8), "retention"), Gap(one, "1.x", None, (1, 8), "retention")]
    gone = [Gap(one, "s14.N", (25, 6), None, "memory_lost"), Gap(one, "s14.M", None, None, "memory_lost")]
    many = [Gap(all_, f"s{n}.N", (1, n), None, "memory_lost") for n in range(64)]
    asyncio.run(_told(*few, *many, *gone))
    assert capsys.readouterr().err.splitlines() == [
        "whimbrel: gap: /chat/1 log 0.x: everything after 0,5 up to 1,8: retention",
        "whimbrel: gap: /chat/1 log 1.x: everything up to 1,8: retention",
        "whimbrel: gap: /chat/*: in 64 logs, what had not come of them; the logs are gone: memory_lost",
        "whimbrel: gap: /chat/1 log s14.N: everything after 25,6; the log is gone: memory_lost",
        "whimbrel: gap: /chat/1 log s14.M: everything; the log is gone: memory_lost",
    ]
    assert str(Missing(one, "/chat/1", "0.x", (0, 7))) == "missing: /chat/1 log 0.x before 0,7; resuming"


def test_a_gap_is_told_even_when_the_command_ends_at_once(
    fake: ServerThread, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subscribe, "FOLD_S", 60.0)

    async def print_messages(client: Any, *_: Any) -> None:
        client._on_status(Gap(Interest("/t/a", Now()), "0.x", (0, 5), None, "log_gone"))

    monkeypatch.setattr(subscribe, "_print_messages", print_messages)
    assert cli.run(["subscribe", "/t/a", "--quiet"]) == 0
    assert capsys.readouterr().err == "whimbrel: gap: /t/a log 0.x: everything after 0,5; the log is gone: log_gone\n"


def test_a_line_stays_a_line() -> None:
    assert text_line(message("text", "a\nb\x1b[1m é".encode())) == r"2023-11-14T22:13:20.123Z /t/a a\nb\x1b[1m é"
    assert text_line(message("bytes", b"\xff\x00")) == r"2023-11-14T22:13:20.123Z /t/a \xff\x00"
    assert text_line(message("tombstone", None, time=None)) == "- /t/a (deleted)"
    line = json_line(message("json", b'{\r\n "a": 12345678901234567890.10,\n "b": "\\n"}'))
    assert "\n" not in line
    assert '{   "a": 12345678901234567890.10,  "b": "\\n"}' in line
    assert json.loads(line)["json"]["b"] == "\n"
    assert json.loads(json_line(message("bytes", b"\xff")))["base64"] == base64.b64encode(b"\xff").decode()
    assert json.loads(json_line(message("tombstone", None)))["tombstone"] is True
    assert json.loads(json_line(message("text", b"x")))["key"] == "a"
    assert json.loads(json_line(message("text", b"x", subject="/t")))["key"] is None
    assert json.loads(json_line(message("text", b"x", subject="/t/%FF")))["key"] == {"base64": "/w=="}
    headers = [("a", b"x"), ("b", b"\xff"), ("c", None)]
    said = json.loads(json_line(message("text", b"x", headers=headers)))
    assert said["headers"] == [["a", "x"], ["b", {"base64": "/w=="}], ["c", None]]


def command(fake: ServerThread, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    environment = os.environ | {"WHIMBREL_SERVER": fake.server.url}
    return subprocess.Popen(
        [sys.executable, "-m", "node.cli", *arguments],
        env=environment,
        stdin=options.get("stdin", subprocess.DEVNULL),
        stdout=options.get("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_an_interrupt_ends_subscribe_without_a_traceback(fake: ServerThread) -> None:
    running = command(fake, "subscribe", "/t/*")
    assert running.stderr is not None
    first = running.stderr.readline() + running.stderr.readline()
    assert b"subscribed to /t/*" in first
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=10)
    assert running.returncode == 130
    assert err == b""


@pytest.mark.slow
def test_a_pipe_that_is_closed_ends_subscribe_quietly(fake: ServerThread) -> None:
    running = command(fake, "subscribe", "/t/*", "--from", "now")
    assert running.stderr is not None
    assert running.stdout is not None
    running.stderr.readline(), running.stderr.readline()
    fake.run(fake.server.append("/t/a"))
    assert b"/t/a" in running.stdout.readline()
    running.stdout.close()
    fake.run(fake.server.append("/t/a"))
    assert running.wait(PATIENCE_S) == 0
    assert running.stderr.read() == b""


@pytest.mark.slow
def test_lines_of_standard_input_are_published_in_order(fake: ServerThread) -> None:
    running = command(fake, "publish", "/t/a", "-", "--json", stdin=subprocess.PIPE)
    lines = "\n".join(str(n) for n in range(1000))
    out, err = running.communicate(lines.encode(), timeout=20)
    assert (running.returncode, err) == (0, b"")
    assert out.decode().splitlines() == [f"0.x 0,{n}" for n in range(1000)]
    assert [frame["json"] for frame in fake.server.frames if frame["op"] == "publish"] == list(range(1000))


@pytest.mark.slow
def test_what_cannot_be_printed_ends_publish_with_one_line(fake: ServerThread) -> None:
    for _ in range(3):  # the thread that reads lines may be anywhere
        with open("/dev/full", "wb") as full:
            running = command(fake, "publish", "/t/a", "-", stdin=subprocess.PIPE, stdout=full)
            _, err = running.communicate(b"1\n" * 20, timeout=20)
        assert err == b"whimbrel: cannot write to standard output: No space left on device\n"
        assert running.returncode == 1


@pytest.mark.slow
def test_a_wrong_line_is_named_after_those_before_it_are_sent(fake: ServerThread) -> None:
    for kind, lines, said in (
        ("--json", b"1\n{\n3\n", b"line 2: --json: not JSON"),
        ("--text", b"1\n\xff\n3\n", b"line 2: not UTF-8: send bytes with --bytes-base64"),
    ):
        running = command(fake, "publish", "/t/a", "-", kind, stdin=subprocess.PIPE)
        _, err = running.communicate(lines, timeout=20)
        assert running.returncode == 1
        assert b"standard input, " + said in err
        assert b"Traceback" not in err


@pytest.mark.slow
def test_an_interrupt_ends_publish_that_waits_for_a_line(fake: ServerThread) -> None:
    running = command(fake, "publish", "/t/a", "-", stdin=subprocess.PIPE)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"one\n")
    running.stdin.flush()
    line: list[bytes] = []
    reading = threading.Thread(target=lambda: line.append(running.stdout.readline()))  # type: ignore[union-attr]
    reading.start()
    reading.join(10)
    assert line == [b"0.x 0,0\n"], "the outcome is told without waiting for the next line"
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE_S) == 130
    assert running.stderr is not None
    assert running.stderr.read() == b""


def test_a_token_comes_from_a_flag_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"of {name}\n")

    def told(*flags: str) -> str | None:
        parser = argparse.ArgumentParser()
        connecting.add_arguments(parser)
        return connecting.token(parser.parse_args(flags))

    assert told() is None
    monkeypatch.setenv("WHIMBREL_TOKEN", "of env")
    assert told() == "of env"
    assert told("--token-file", str(tmp_path / "one")) == "of one"
    monkeypatch.setenv("WHIMBREL_TOKEN_FILE", str(tmp_path / "two"))
    assert told() == "of two"
    assert told("--token-file", str(tmp_path / "one")) == "of one"
    assert told("--token", "of flag") == "of flag"
    with pytest.raises(ValueError, match="/no/such cannot be read: No such file"):
        told("--token-file", "/no/such")
    with pytest.raises(SystemExit):
        told("--token", "a", "--token-file", "b")
