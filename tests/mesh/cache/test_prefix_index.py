"""Patterns find just the subjects that match, whatever came and went before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.cache.prefix_index import PrefixIndex
from tests.support.truth import covers

SUBJECTS = st.lists(st.sampled_from(["a", "b", ""]), max_size=6).map(lambda parts: "/".join(["/t", *parts]))


@given(st.lists(st.tuples(st.booleans(), SUBJECTS)), SUBJECTS)
def test_a_pattern_finds_what_matches(steps: list[tuple[bool, str]], prefix: str) -> None:
    table: dict[str, str] = {}
    index = PrefixIndex(table)
    for comes, subject in steps:
        if comes and subject not in table:
            table[subject] = subject
            index.add(subject, subject)
        elif not comes and subject in table:
            del table[subject]
            index.remove(subject)
    pattern = prefix + "/*"
    assert sorted(index.matching(pattern)) == sorted(one for one in table if covers(pattern, one))
    table.clear()
    index.clear()
    assert list(index.matching(pattern)) == []
