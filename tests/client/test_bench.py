"""`whimbrel bench` as a process, against a fake cluster."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.kafka.ports import free_port
from loadtest.quick import CONNECTING, SUBSCRIBE_TIMEOUT_S
from node import cli
from tests.client.test_python_blocking import ServerThread
from tests.support.patience import PATIENCE_S


@pytest.fixture
def fake() -> Iterator[ServerThread]:
    thread = ServerThread()
    yield thread
    thread.stop()


def bench(*arguments: str) -> tuple[int, str, str]:
    command = [str(Path(sys.executable).with_name("whimbrel")), "bench", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(("shape", "expected"), [((), "50"), (("--broadcast",), "1,000")])
def test_all_that_is_published_is_received_and_said(fake: ServerThread, shape: tuple[str, ...], expected: str) -> None:
    load = ("--clients", "20", "--rate", "100", "--seconds", "0.5", *shape)
    code, out, err = bench("t", "--server", fake.server.url, *load)
    assert code == 0, out + err
    assert re.search(r"connected +20 of 20 in [0-9.]+ s\n", out)
    assert re.search(r"published +50 acknowledged in [0-9.]+ s; half within [0-9.]+ ms, 95 % within", out)
    assert re.search(rf"received +{expected} of {expected}; ", out)
    assert "FAILED" not in out


def test_a_topic_that_takes_no_publishes_is_not_tried_to_the_end(fake: ServerThread) -> None:
    fake.server._connection = {"refuse": {"publish": 4313}}
    code, out, err = bench("t", "--server", fake.server.url, "--clients", "2", "--rate", "50", "--seconds", "1000")
    assert code == 1, out + err
    assert re.search(r"FAILED +[0-9]+ x publish: 4313", out)


@pytest.mark.slow
def test_an_installation_out_of_reach_is_said_with_the_reason() -> None:
    port = free_port()
    began = time.monotonic()
    code, out, err = bench("t", "--server", f"127.0.0.1:{port}", "--clients", f"{3 * CONNECTING}")
    assert (code, out) == (1, "")
    why = f"cannot reach ws://127.0.0.1:{port}/v1/ws (connection refused)"
    assert f"subscribe: no answer within {SUBSCRIBE_TIMEOUT_S:g} s; {why}\n" in err
    assert time.monotonic() - began < 2.5 * SUBSCRIBE_TIMEOUT_S, "where the first cannot, the others are not tried"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t", "--clients", "0"), "argument --clients: found '0', expected a whole number above 0"),
        (("t", "--rate", "-1"), "argument --rate: found '-1', expected a number above 0"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(["bench", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
