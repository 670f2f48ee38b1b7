"""What a trial measures, and that its clients write down what the checker needs."""

from __future__ import annotations

from tests.cluster.clients import new_seen, times_of
from tests.cluster.trial import longest_pause
from tests.support.checker import Fresh, Got


def test_the_longest_pause_of_any_subject_counts() -> None:
    happened = [("a", 1.0), ("b", 1.5), ("a", 2.0), ("b", 4.0), ("a", 4.5), ("other", 0.1)]
    assert longest_pause(happened, 0.0, 5.0, ["a", "b"]) == 2.5
    assert longest_pause(happened, 0.0, 5.0, ["a"]) == 2.5
    assert longest_pause(happened, 1.9, 4.6, ["a"]) == 2.5
    assert longest_pause(happened, 3.0, 5.0, ["a", "b"]) == 1.5
    assert longest_pause([], 3.0, 5.0, ["a"]) == 2.0


def test_messages_are_noted_with_their_time() -> None:
    seen = new_seen("ann", "/chat/*", "now")
    seen.noted.append(Fresh({}))
    seen.noted.append(Got("/chat/a", "s0.x", (0, 0), None, b"1", (), None, False))
    assert [subject for subject, _ in times_of(seen)] == ["/chat/a"]
    assert len(seen.noted) == 2
