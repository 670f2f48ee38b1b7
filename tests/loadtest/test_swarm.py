"""Locust's users, shapes and limits, with a node that is a cluster of its own."""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.node import Node
from loadtest.payload import ZERO_US
from loadtest.swarm.chain import Chain, Fault
from loadtest.swarm.decoding import QUICK
from loadtest.swarm.limits import exceeded, parse
from loadtest.swarm.options import above_zero, how_many, share_of_all
from loadtest.swarm.receipts import Receipts
from loadtest.swarm.report import Moment, Report, write
from whimbrel.encodings import ENCODINGS
from whimbrel.errors import FrameError
from whimbrel.frames import read as frames_read
from whimbrel.message import Message, Value

ROOT = Path(__file__).parents[2]
FILE = "loadtest/locustfile.py"
UNTIL_SEEN = f"{FILE},tests/loadtest/until_seen.py"


def message(
    seq: int, prev: int | None = None, *, epoch: int = 0, snapshot: bool = False, subject: str = "/t/k"
) -> Message:
    before = None if prev is None else (0, prev)
    return Message(subject, Value("json", b"1"), [], None, "log", (epoch, seq), before, snapshot)


def test_a_chain_that_holds() -> None:
    chain = Chain()
    follow = [message(3, 1), message(5, 3), message(9, 5), message(2, 1, subject="/t/other"), message(0, None, epoch=1)]
    assert [chain.take(each) for each in follow] == [None] * 5


def test_what_is_missing_repeated_or_out_of_order_is_named() -> None:
    chain = Chain()
    chain.take(message(3, 1))
    assert chain.take(message(6, 5)) is Fault.MISSING
    assert chain.take(message(6, 5)) is Fault.REPEATED
    assert chain.take(message(4, 3)) is Fault.OUT_OF_ORDER
    assert chain.take(message(8, 4)) is Fault.OUT_OF_ORDER, "it follows one that came before the last"
    assert chain.take(message(9, 8)) is None, "one fault is told once"


def test_a_snapshot_or_a_stated_gap_begins_a_chain_anew() -> None:
    chain = Chain()
    assert chain.take(message(5, 3, snapshot=True)) is None
    assert chain.take(message(7, 5)) is None
    chain.gap("log")
    assert chain.take(message(20, 15)) is None
    assert chain.take(message(21, 19)) is Fault.OUT_OF_ORDER


def test_receipts_add_up_over_processes() -> None:
    one, other = Receipts(), Receipts()
    for us in range(1, 1001):
        (one if us % 2 else other).add(us * 1000)
    one.merge({str(us): count for us, count in other.take().items()})  # type: ignore[misc]
    assert one.total == 1000
    assert other.total == 0
    for share in (0.5, 0.9, 0.99):
        assert one.ms(share) == pytest.approx(1000 * share, rel=0.02)
    one.add(-5)
    assert one.ms(0) == 0
    assert Receipts().ms(0.5) is None


def test_limits_as_written() -> None:
    limits = [parse(text) for text in ("receive.p99=50", "connect.p99.9=1000", "resume.p50=10", "failures=2")]
    assert [str(limit) for limit in limits] == ["receive.p99=50", "connect.p99.9=1000", "resume.p50=10", "failures=2"]
    measured = {"receive": 50.0, "connect": 1001.0}
    over = exceeded(limits, lambda name, share: measured.get(name), failures=3)
    assert [(str(limit), found) for limit, found in over] == [
        ("connect.p99.9=1000", "1001.0 ms"),
        ("resume.p50=10", "nothing was measured"),
        ("failures=2", "3 failures"),
    ]
    for wrong in ("receive=5", "receive.p99", "swim.p99=5", "receive.p101=5", "failures.p99=1", ""):
        with pytest.raises(ValueError, match="is no limit: expected"):
            parse(wrong)


def test_the_report_is_a_page_with_plots(tmp_path: Path) -> None:
    moments = [Moment(3.0 * index, 10, 5.0 * index, None if index == 0 else 1.5, 3.0, 0) for index in range(4)]
    requests = {"receive": (1000, 1, [1.0, 2.0, None])}
    report = Report(requests, moments, {900: 990, 5000: 10}, {"missing": 1}, {"<b>": 1}, [("receive.p99=1", "5.0 ms")])
    page = write(tmp_path / "report", report).read_text()
    assert "<td>receive</td><td>1,000</td><td>1</td><td>1.0</td><td>2.0</td><td>–</td>" in page
    assert "exceeded: 5.0 ms" in page
    assert "&lt;b&gt;" in page
    for plot in ("latency.png", "run.png"):
        assert (tmp_path / "report" / plot).read_bytes().startswith(b"\x89PNG")
        assert f'src="{plot}"' in page


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node") / "node.log", "--namespaces", "bench", "--workers", "1") as node:
        yield node


def locust(
    node: Node, out: Path, files: str, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, dict[str, str]]]:
    """Run it to its end; what it said, and its statistics by name."""
    command = [sys.executable, "-m", "locust", "-f", files, "--headless", "--only-summary", "--csv", str(out / "out")]
    command += ["--host", node.url, "--topic", "bench", "--keys", "3", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=ROOT)
    with (out / "out_stats.csv").open() as file:
        return ran, {row["Name"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_users_receive_what_they_publish_and_nothing_is_missing(node: Node, tmp_path: Path) -> None:
    report = tmp_path / "report"
    ran, stats = locust(
        node, tmp_path, UNTIL_SEEN, "Subscriber", "Publisher", "-u", "18", "-r", "100", "--rate", "5",
        "--limit", "failures=0", "--limit", "receive.p99=60000", "--report", str(report),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {row["Failure Count"] for row in stats.values()} == {"0"}
    assert int(stats["connect"]["Request Count"]) == 18
    subscribed, published = int(stats["subscribe"]["Request Count"]), int(stats["publish"]["Request Count"])
    assert 14 <= subscribed < 18
    assert published > 2
    # Three keys share sixteen subscribers, so that each message reaches several.
    assert int(stats["receive"]["Request Count"]) > published
    assert float(stats["receive"]["Median Response Time"]) >= 0
    assert f"report: {report / 'index.html'}" in ran.stdout
    assert "<p>None." in (report / "index.html").read_text()


@pytest.mark.slow
def test_workers_add_up_and_a_limit_decides_the_exit_code(node: Node, tmp_path: Path) -> None:
    ran, stats = locust(
        node, tmp_path, UNTIL_SEEN, "Subscriber", "Publisher", "-u", "20", "-r", "100", "--rate", "5",
        "--processes", "2", "--limit", "receive.p50=0.001", "--limit", "receive.p99=60000",
    )  # fmt: skip
    assert int(stats["connect"]["Request Count"]) == 20
    assert int(stats["receive"]["Request Count"]) > 0
    assert "limit receive.p50=0.001: exceeded: " in ran.stdout
    assert "limit receive.p99" not in ran.stdout
    assert ran.returncode == 1, ran.stdout + ran.stderr


@pytest.mark.slow
def test_a_storm_is_resumed_without_loss(node: Node, tmp_path: Path) -> None:
    ran, stats = locust(
        node, tmp_path, f"{FILE},loadtest/shapes/storm.py", "Subscriber", "Publisher", "--rate", "5",
        "--storm-users", "20", "--storms", "2", "--storm-every-s", "3", "--limit", "failures=0",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    subscribers = int(stats["subscribe"]["Request Count"])
    assert int(stats["resume"]["Request Count"]) >= subscribers
    assert {row["Failure Count"] for row in stats.values()} == {"0"}


@pytest.mark.slow
def test_every_kind_of_user_under_a_ramp(node: Node, tmp_path: Path) -> None:
    ran, stats = locust(
        node, tmp_path, f"{FILE},loadtest/shapes/ramp.py", "--ramp-users", "60", "--ramp-s", "3", "--hold-s", "4",
        "--flap-s", "1", "--rate", "2", "--encoding", "msgpack",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(stats["connect"]["Request Count"]) == 60
    assert int(stats["resume"]["Request Count"]) > 0
    assert {row["Failure Count"] for row in stats.values()} == {"0"}


@pytest.mark.slow
def test_a_rolling_restart_runs_its_steps_and_stops_at_a_failure(node: Node, tmp_path: Path) -> None:
    ran, _ = locust(
        node, tmp_path, f"{FILE},loadtest/shapes/rolling_restart.py", "Subscriber", "--restart-users", "5",
        "--restart-pause-s", "1", "--restart", f"echo up >> {tmp_path}/step{{step}}; test {{step}} != 2",
    )  # fmt: skip
    assert [(tmp_path / f"step{step}").exists() for step in (1, 2, 3)] == [True, True, False]
    assert "step 2 ended with 1" in ran.stdout
    assert ran.returncode == 1, ran.stdout + ran.stderr


@pytest.mark.slow
def test_users_that_never_connect_are_failures(tmp_path: Path) -> None:
    """They have nothing to report while they try: a run without a server must not end as one without a failure."""
    command = [sys.executable, "-m", "locust", "-f", FILE, "--headless", "--only-summary", "Subscriber", "-u", "3"]
    command += ["-t", "3s", "--host", "ws://127.0.0.1:1", "--report", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=ROOT)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["errors"]
    for error in report["errors"]:
        assert "never connected: cannot reach ws://127.0.0.1:1/v1/ws (connection refused)" in error
    assert [moment["users"] for moment in report["moments"]] == [sum(report["errors"].values())]


@pytest.mark.slow
def test_wrong_options_are_refused_by_name() -> None:
    wrong = [
        (FILE, ["--limit", "receive=5"], "expected failures=N or NAME.pNN=MILLISECONDS"),
        (FILE, ["--keys", "0"], "--keys: found '0', expected a whole number, at least 1"),
        (
            f"{FILE},loadtest/shapes/storm.py",
            ["--storm-share", "2"],
            "--storm-share: found '2', expected a share from 0 to 1",
        ),
        (FILE, ["--host", "tcp://a,b"], "--host: not a server's address (such as ws://host:8080): 'tcp://a'"),
    ]
    asked = []
    for files, options, said in wrong:
        command = [sys.executable, "-m", "locust", "-f", files, "--headless", "-t", "1s", *options]
        ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        asked.append((ran, said))
    for ran, said in asked:
        _, error = ran.communicate(timeout=110)
        assert ran.returncode != 0
        assert said in error
        assert "Traceback" not in error


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf", "many", ""])
def test_what_numbers_of_options_may_be(wrong: str) -> None:
    assert (above_zero("0.5"), how_many("1e3"), share_of_all("0"), share_of_all("1")) == (0.5, 1000, 0, 1)
    for read in (above_zero, how_many, share_of_all):
        if (read, wrong) != (share_of_all, "0"):
            with pytest.raises(argparse.ArgumentTypeError, match="expected"):
                read(wrong)


def test_values_say_when_they_were_sent() -> None:
    # Locust patches what it is imported into: not in this process.
    check = (
        "import time\n"
        "from loadtest.swarm.users import took_us\n"
        f"assert took_us(b'{{\"t\": {ZERO_US + 5_000}}}', None, 0.0075) == 2_500\n"
        "arrived, sent = time.monotonic() - 60, time.time_ns() // 1000 - 60_002_500\n"
        'assert 2_000 <= took_us(b\'{"a":[],"t":%d}\' % sent, 1, arrived) < 3_000\n'
        'for other in (b\'{"n":1}\', b\'"x"\', b\'{"t":"x"}\', None):\n'
        "    assert took_us(other, None, arrived) is None\n"
        "    assert 1_000 <= took_us(other, sent // 1000, arrived) < 4_000\n"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, cwd=ROOT)


def test_sums_get_into_locusts_statistics_as_if_they_were_told_one_by_one() -> None:
    check = """
from locust.env import Environment
from loadtest.swarm import hooks
from loadtest.swarm.totals import TOTALS
one_by_one, summed = Environment(), Environment()
for us in range(1_000, 400_000, 1_000):
    TOTALS.received(us, 512)
    one_by_one.stats.log_request("ws", "receive", us / 1000, 512)
hooks._add(summed)
hooks._add(summed)
for name in ("num_requests", "total_content_length", "min_response_time"):
    assert getattr(summed.stats.total, name) == getattr(one_by_one.stats.total, name), name
for share in (0.5, 0.99, 1):
    exact = one_by_one.stats.get("receive", "ws").get_response_time_percentile(share)
    assert abs(summed.stats.get("receive", "ws").get_response_time_percentile(share) - exact) <= 0.03 * exact
assert abs(summed.stats.total.avg_response_time / one_by_one.stats.total.avg_response_time - 1) < 0.02
assert TOTALS.take()["receipts"][1_000] == 1
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, cwd=ROOT)


def test_frames_are_read_as_the_sdk_reads_them() -> None:
    value = b'{ "t" : 1.50, "n":[1, {"a":"\\u00e9"}]}'
    head = b'{"op":"msg","subject":"/t/\xc3\xa9","log":"0.t","at":[1,7]'
    frames = [
        head + b',"prev":[0,5],"time":17,"json":' + value + b"}",
        head + b',"sub":3,"snapshot":true,"json":' + value + b"}",
        head + b',"headers":[["a","b"],["c",null]],"json":1}',
        head + b',"text":"x"}',
        head + b',"tombstone":true}',
        head + b',"later":{"a":1},"json":1}',
        b'{"op":"live","sub":2,"at":{"0.t":[1,7]}}',
        b'{"op":"msg","subject":1}',
    ]
    for frame in frames:
        try:
            expected: object = frames_read(ENCODINGS["json"].decode(frame))
        except FrameError:
            with pytest.raises(FrameError):
                frames_read(QUICK["json"].decode(frame))
        else:
            assert frames_read(QUICK["json"].decode(frame)) == expected, frame
    with pytest.raises(FrameError):
        QUICK["json"].decode(b'{"op":"msg",')
