"""Placement is the same everywhere, evenly spread, and moves no more than it must."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mesh.placement import rank, slot_of

names = st.lists(st.text(max_size=8), max_size=7, unique=True)


@given(st.text(max_size=20), names)
def test_the_order_of_the_names_does_not_matter(key: str, given_names: list[str]) -> None:
    ranked = rank(key, given_names)
    assert sorted(ranked) == sorted(given_names)
    assert ranked == rank(key, reversed(given_names)) == rank(key, [*given_names, *given_names])


@given(st.text(max_size=20), names)
def test_who_goes_leaves_the_order_of_the_others_alone(key: str, given_names: list[str]) -> None:
    ranked = rank(key, given_names)
    for gone in given_names:
        assert rank(key, [n for n in given_names if n != gone]) == [n for n in ranked if n != gone]


def test_every_name_gets_its_share_at_every_rank() -> None:
    nodes = ["a", "b", "c", "d", "e"]
    firsts, seconds = Counter[str](), Counter[str]()
    for number in range(5000):
        ranked = rank(f"{number}.AbCd1234", nodes)
        firsts[ranked[0]] += 1
        seconds[ranked[1]] += 1
    for counts in (firsts, seconds):
        assert all(850 < counts[name] < 1150 for name in nodes), counts  # five standard deviations


def test_few_logs_are_not_all_at_one_node() -> None:
    """Ids that differ in one character are as far apart as any."""
    for topic in range(50):
        firsts = Counter(rank(f"{partition}.topic{topic}", ["a", "b", "c"])[0] for partition in range(24))
        assert max(firsts.values()) <= 18


def test_every_process_says_the_same() -> None:
    """Also with another seed of Python's own hash."""
    program = "from mesh.placement import rank, slot_of; print(rank('0.x', 'abcde'), slot_of('/t/ö', 64))"
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{rank('0.x', 'abcde')} {slot_of('/t/ö', 64)}\n"}


def test_the_weights_are_fixed_for_ever() -> None:
    """Nodes of different releases must agree, so this may never change."""
    assert rank("0.AbCd1234", ["a", "b", "c"]) == ["a", "b", "c"]
    assert [slot_of(subject, 64) for subject in ("/a", "/chat/room", "/ö")] == [28, 16, 59]


def test_slots_are_all_used() -> None:
    counts = Counter(slot_of(f"/chat/{number}", 64) for number in range(6400))
    assert set(counts) == set(range(64))
    assert max(counts.values()) < 160
