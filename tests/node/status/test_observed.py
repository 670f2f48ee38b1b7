"""What the node says of itself: in its log once, and as problems while they last."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from node.kafka.discovery import Found
from node.status import observed
from node.status.observed import Observed


def parts(**more: Any) -> Any:
    """As much of a node as is looked at: one topic that is configured, and one worker."""
    given: dict[str, Any] = {
        "settings": SimpleNamespace(topics=[SimpleNamespace(name="orders"), SimpleNamespace(name="log.*")]),
        "topics": SimpleNamespace(known=True, sources={}),
        "intake": SimpleNamespace(records=0, unmapped=0, unmapped_last="a long key", rates={}),
        "cache": SimpleNamespace(logs={}),
        "workers": SimpleNamespace(all=[SimpleNamespace(settings=SimpleNamespace(index=0), stats={}, restarts=0)]),
        "cluster": None,
        "bridge": SimpleNamespace(),
    }
    return SimpleNamespace(**(given | more))


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """Events since the last call."""
    found = [(record.getMessage(), record.__dict__["fields"]) for record in caplog.records]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def all_events(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, observed.__name__)


def test_kafka_away_is_logged_when_it_begins_once_a_minute_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Observed(100.0)
    seen.kafka_unreachable(105.0, "connection refused")
    assert told(caplog) == [("kafka_unreachable", {"for_s": 5, "reason": "connection refused"})]
    seen.kafka_unreachable(110.0, "connection refused")
    assert told(caplog) == []
    seen.kafka_unreachable(165.0, "")
    assert told(caplog) == [("kafka_unreachable", {"for_s": 65, "reason": "no answer"})]
    for _ in range(2):
        seen.kafka_found(170.0, Found(["b"], {}, set(), {"orders"}))
    assert told(caplog) == [("kafka_reached", {"after_s": 70})]
    seen.kafka_unreachable(171.0, "gone")
    assert told(caplog) == [("kafka_unreachable", {"for_s": 0, "reason": "gone"})]


def test_topics_that_do_not_exist_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    seen = Observed(0.0)
    seen.second(parts(topics=SimpleNamespace(known=False, sources={})), 1.0)
    assert told(caplog) == []
    for now in (2.0, 3.0):
        seen.second(parts(), now)
    assert told(caplog) == [("topics_missing", {"topics": ["orders"]})]
    assert told(caplog) == []
    assert "topic 'orders' does not exist in Kafka (yet)" in seen.problems(parts())
    assert not any(
        "orders" in one for one in seen.problems(parts(topics=SimpleNamespace(known=True, sources={"orders": {}})))
    )


def test_a_worker_that_starts_is_no_problem_one_that_stopped_is() -> None:
    seen = Observed(0.0)
    node = parts()
    [worker] = node.workers.all
    assert not any("worker" in problem for problem in seen.problems(node))
    worker.stats = {"messages_out": 0.0}
    seen.second(node, 1.0)
    worker.stats = {}
    assert "worker 0 does not run" in seen.problems(node)
    never_ran = parts()
    never_ran.workers.all[0].restarts = 1
    assert "worker 0 does not run" in Observed(0.0).problems(never_ran)


def test_records_that_could_not_be_mapped_are_a_problem_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    seen = Observed(now)
    node = parts()
    node.intake.unmapped = 1
    assert seen.take_unmapped(node) == 1
    assert "1 record could not be mapped; the last: a long key" in seen.problems(node)
    now = 61.0
    assert not any("mapped" in problem for problem in seen.problems(node))
    node.intake.unmapped = 3
    assert seen.take_unmapped(node) == 2
    assert "3 records could not be mapped; the last: a long key" in seen.problems(node)
