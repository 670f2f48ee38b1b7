"""Auditors in their threads: what they get, what is dropped and told, files and their rotation."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.link.plugins import LoadError
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import Cache, CacheConfig
from node.audit import kafka
from node.audit.audit import Auditors
from node.audit.insides import Insides
from node.audit.lines import lines
from node.audit.loading import load
from node.audit.log import LogAuditor
from tests.support.patience import PATIENCE_S
from whimbrel_server import AuditEvent, Auditor

NOTHING = Insides(0.0, (), 60.0, Mapping(()))
CACHE = Cache(CacheConfig(600.0, 1000, 1 << 20, 600.0))


class Held(Auditor):
    """Waits until it may go on; fails if told to."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.fails = False
        self.events: list[AuditEvent] = []

    def write(self, events: Sequence[AuditEvent]) -> None:
        self.may_go_on.wait(PATIENCE_S)
        if self.fails:
            raise OSError("no space left")
        self.events += events


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def put(audit: Auditors, *names: str) -> None:
    audit.put(len(names), lines([AuditEvent(5, "n", "access", name, {"identity": "ann"}) for name in names]))


def test_one_that_does_not_keep_up_loses_events_that_are_counted_and_told() -> None:
    slow, quick = Held(), Held()
    quick.may_go_on.set()
    audit = Auditors({"slow": slow, "quick": quick}, "n", 4, NOTHING)
    for count, name in enumerate("abcde", 1):
        put(audit, name)
        until(lambda count=count: audit.threads[1].written == count)  # type: ignore[misc]
    until(lambda: audit.threads[0].dropped == 1)
    audit.second(100.0, CACHE, {})
    assert audit.problems(100.0) == ["the auditor 'slow' has not had 1 events: it does not keep up"]
    assert audit.problems(200.0) == []
    slow.may_go_on.set()
    audit.close()
    told = [(one.node, one.kind, one.name, one.fields) for one in slow.events]
    assert [name for _, kind, name, _ in told if kind == "access"] == [*"abcd"]
    assert [one for one in told if one[1] == "stats"] == [("n", "stats", "dropped", {"count": 1})]


def test_one_that_fails_is_asked_again() -> None:
    auditor = Held()
    auditor.may_go_on.set()
    auditor.fails = True
    audit = Auditors({"x": auditor}, "n", 100, NOTHING)
    put(audit, "a", "b")
    until(lambda: audit.threads[0].dropped >= 2)
    audit.second(1.0, CACHE, {})
    assert "OSError: no space left" in audit.problems(1.0)[0]
    auditor.fails = False
    put(audit, "c")
    audit.close()
    assert next(one.name for one in auditor.events) == "c"


def test_a_record_that_kafka_does_not_take_is_the_only_one_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "FLUSH_S", 0.0)  # there is no Kafka
    auditor = kafka.KafkaAuditor(topic="t", bootstrap="127.0.0.1:1", client={"message.max.bytes": 1000})
    audit = Auditors({"kafka": auditor}, "n", 100, NOTHING)
    put(audit, "a", "x" * 2000, "c")
    until(lambda: audit.threads[0].written == 3)  # and `dropped`
    assert audit.threads[0].dropped == 1
    assert auditor._producer is not None
    assert len(auditor._producer) == 3
    audit.second(1.0, CACHE, {})
    (problem,) = audit.problems(1.0)
    assert "1 records were not delivered" in problem
    assert "too large" in problem
    audit.close()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_is_rotated_and_nobody_else_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    auditor = LogAuditor(file=str(file), bytes=1000, files=3)
    for number in range(60):
        auditor.write([AuditEvent(number, "n", "access", "connected", {"identity": "ann"})])
    auditor.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    kept = [one for name in (".2", ".1", "") for one in lines_of(Path(f"{file}{name}"))]
    assert [one["time_ms"] for one in kept] == [*range(60 - len(kept), 60)]
    assert kept[-1] == {"time_ms": 59, "node": "n", "kind": "access", "event": "connected", "identity": "ann"}
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}
    assert all(one.stat().st_size < 1100 for one in tmp_path.iterdir())


def test_the_log_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    for number in range(2):
        auditor = LogAuditor(file=str(file))
        auditor.write([AuditEvent(number, "n", "access", "connected", {})])
        auditor.close()
    assert [one["time_ms"] for one in lines_of(file)] == [0, 1]


def test_the_log_is_opened_anew_once_that_is_possible(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    auditor = LogAuditor(file=str(folder / "a"), bytes=1)
    event = AuditEvent(1, "n", "access", "connected", {})
    os.rename(folder, tmp_path / "elsewhere")
    with pytest.raises(OSError):
        auditor.write([event])  # cannot begin the next file
    with pytest.raises(OSError):
        auditor.write([event])
    folder.mkdir()
    auditor.write([event])
    auditor.close()
    assert (folder / "a.1").exists()


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("nobody", {}, "there is no auditor 'nobody': not built in (kafka, log)"),
        ("log", {}, "missing required field `file`"),
        ("log", {"file": "/no/such/folder/x"}, "No such file"),
        ("log", {"file": "x", "color": 1}, "unknown field `color`"),
        ("kafka", {"topic": "t"}, "`bootstrap` is missing"),
        ("kafka", {"topic": "t", "bootstrap": "a:1", "client": {"no.such": "x"}}, "no.such"),
        ("json:JSONDecoder", {}, "not a class derived from whimbrel_server.Auditor"),
    ],
)
def test_what_cannot_be_had_is_said(name: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError) as found:
        load(name, options)
    assert why in str(found.value)
