"""What the load on several nodes counts and times, without nodes."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from loadtest.bare import unmask
from loadtest.cluster import disagreement
from loadtest.listener import Arrivals
from loadtest.mesh_scenarios import Sorted, checked
from loadtest.payload import FIRST, ZERO_US
from loadtest.plots import plot_stalls
from loadtest.process import Failed
from loadtest.report import Row, as_json, percentile
from loadtest.subscriber import Value
from loadtest.tcp import sent_bytes
from loadtest.users import Follower, Outcome
from loadtest.wire import ping, publish_form
from tests.support.patience import PATIENCE_S

# What is sent.


@pytest.mark.parametrize("pad", [10, 90, 400])
def test_a_publish_is_one_whole_frame_each_time(pad: int) -> None:
    form = publish_form("/bench/100%25", "publisher-publisher", pad)
    sent = b"".join(form % (FIRST + n, FIRST + n, ZERO_US + n, FIRST + 7 * n) for n in range(3))
    frames = [json.loads(payload) for payload in unmask(sent)]
    assert [frame["id"] for frame in frames] == [FIRST, FIRST + 1, FIRST + 2]
    last = frames[-1]
    assert (last["op"], last["subject"], last["publisher"]) == ("publish", "/bench/100%25", "publisher-publisher")
    assert last["seq"] == FIRST + 2
    assert (last["json"]["t"], last["json"]["n"], len(last["json"]["pad"])) == (ZERO_US + 2, FIRST + 14, pad)


def test_a_ping_is_one_whole_frame() -> None:
    assert [json.loads(payload) for payload in unmask(ping(5))] == [{"op": "ping", "id": 5}]


# What arrives.


def arrivals(*rows: tuple[int, int, str, int]) -> Arrivals:
    """(now, server, subject, n); all were sent at 100."""
    taken = Arrivals(3)
    for now, server, subject, n in rows:
        taken.arrived(now, server, subject, Value(t=100, n=n))
    return taken


def test_the_last_server_says_when_a_value_is_everywhere() -> None:
    heard = arrivals((110, 1, "/a", 7), (130, 3, "/a", 7), (120, 2, "/a", 7), (115, 1, "/a", 8)).take()
    assert [*heard.slowest] == [20]
    assert [*heard.each] == [10, 30, 20, 15]
    assert (heard.missing, heard.repeated, heard.unfinished) == (0, 0, 1)


def test_what_is_missing_or_repeated_is_counted_by_server_and_subject() -> None:
    heard = arrivals(
        (110, 1, "/a", 7), (110, 1, "/b", 3), (110, 1, "/a", 10), (110, 2, "/a", 9), (110, 1, "/b", 3)
    ).take()  # fmt: skip
    assert (heard.missing, heard.repeated) == (2, 1)


def test_what_was_taken_is_not_counted_again() -> None:
    taken = arrivals((110, 1, "/a", 7))
    taken.take()
    assert [*taken.take().each] == []


def test_a_follower_knows_what_it_missed_and_how_long_the_slowest_took() -> None:
    follower = Follower(0)
    for now, n in ((150, 2), (160, 3), (400, 3), (170, 6)):
        follower.got(now, "/a", Value(t=100, n=n))
    assert (follower.count, follower.missing, follower.repeated) == (3, 3, 1)
    assert follower.longest_us == 70
    assert follower.last == {"/a": 6}


def test_a_follower_may_begin_anywhere() -> None:
    follower = Follower()
    follower.got(150, "/a", Value(t=100, n=1000))
    assert (follower.count, follower.missing) == (1, 0)


@pytest.mark.parametrize(
    "change", [{"received": [10, 10, 9]}, {"records": [20, 21, 20]}, {"missing": 1}, {"repeated": 1}]
)
def test_a_run_in_which_something_was_lost_gives_no_figure(change: dict[str, Any]) -> None:
    whole = {
        "published": 10, "publish_ms": [1.0], "received": [10] * 3, "kafka_ms": [1.0], "records": [20] * 3,
        "missing": 0, "repeated": 0,
    }  # fmt: skip
    assert checked(Outcome(**whole), 20).published == 10  # type: ignore[arg-type]
    with pytest.raises(Failed, match="lost or repeated"):
        checked(Outcome(**{**whole, **change}), 20)


# Whether nodes are a cluster.


def status(coordinator: str | None = "a", feeder: str | None = "b", state: str = "alive", synced: bool = True) -> Any:
    members = [{"name": name, "state": state if name == "b" else "alive", "synced": synced} for name in "ab"]
    return {"cluster": {"members": members, "slots": [{"coordinator": coordinator}], "feeds": [{"feeder": feeder}]}}


def test_nodes_that_say_the_same_agree() -> None:
    assert disagreement({"a": status(), "b": status()}) == ""


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, "b does not answer"),
        (status(state="suspect"), "b sees ['a'] alive"),
        (status(synced=False), "not all are synced"),
        (status(coordinator=None), "no coordinator or feeder of 1"),
        (status(coordinator="b"), "b and a differ"),
        (status(feeder="a"), "b and a differ"),
    ],
)
def test_nodes_that_do_not_agree_are_told_apart(other: Any, words: str) -> None:
    assert words in disagreement({"a": status(), "b": other})


def test_where_each_reads_nobody_feeds() -> None:
    assert disagreement({"a": status(feeder="a"), "b": status(feeder=None)}, each_reads=True) == ""


# The rest.


def test_what_a_server_sent_is_known_to_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as client, server.accept()[0] as accepted:
            client.sendall(b"x" * 111)
            accepted.sendall(b"x" * 12_345)
            deadline = time.monotonic() + PATIENCE_S
            while sum(sent_bytes(address[1]).values()) < 12_345 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert list(sent_bytes(address[1]).values()) == [12_345]
            assert sent_bytes(1) == {}


def test_nothing_to_sort_is_a_failure() -> None:
    from array import array

    assert Sorted(array("q", [3000, 1000, 2000])).ms(0.5) == 2
    with pytest.raises(Failed, match="nothing to measure"):
        Sorted(array("q"))
    assert percentile([1], [1], 0.5) == 1


def test_all_values_of_a_row_are_in_the_file() -> None:
    row = Row("x", 3, "ms", None, values=(1.23456, 3))
    assert as_json(row)["values"] == [1.235, 3]
    assert "values" not in as_json(Row("x", 3, "ms", None))


def test_stalls_are_drawn(tmp_path: Path) -> None:
    plot_stalls(tmp_path / "plots" / "x.png", "x", {"one": (1.0, 900.0), "two": (3.0,)})
    assert (tmp_path / "plots" / "x.png").read_bytes().startswith(b"\x89PNG")
