"""In which line each key stands."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.settings.keys import toml_name, toml_text
from node.settings.lines import TomlPath, line_of, lines

TEXT = '''\
# a comment with = and [brackets]
top = 1

[node]  # trailing
listen = "x" # = "no"
servers = [
  "a = 1",  # [topics]
  "b",
]
after = """
[not.a.table]
key = 3
"""
"quoted key" = \'\'\'
= \'\'\'

[kafka.client]
sasl.password = "p"
"ssl.ca.location" = "c"
[[topics]]
name = "a"

[[topics]]
name = "b"
options = { deep = 1, other.deeper = [2] }
[topics.more]
of = "the second"
'''


def test_every_key_is_found_in_its_line() -> None:
    assert lines(TEXT) == {
        ("top",): 2,
        ("node",): 4,
        ("node", "listen"): 5,
        ("node", "servers"): 6,
        ("node", "after"): 10,
        ("node", "quoted key"): 14,
        ("kafka",): 17,
        ("kafka", "client"): 17,
        ("kafka", "client", "sasl"): 18,
        ("kafka", "client", "sasl", "password"): 18,
        ("kafka", "client", "ssl.ca.location"): 19,
        ("topics",): 20,
        ("topics", 0): 20,
        ("topics", 0, "name"): 21,
        ("topics", 1): 23,
        ("topics", 1, "name"): 24,
        ("topics", 1, "options"): 25,
        ("topics", 1, "options", "deep"): 25,
        ("topics", 1, "more"): 26,
        ("topics", 1, "more", "of"): 27,
    }


def test_a_value_without_a_line_has_that_of_the_table_around_it() -> None:
    found = lines(TEXT)
    assert line_of(found, ("topics", 1, "missing", "deeper")) == 23
    assert line_of(found, ("topics", 1, "options", "other", "deeper", 0)) == 25
    assert line_of(found, ("node", "servers", 1)) == 6
    assert line_of(found, ("nowhere",)) == 0


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
values = st.recursive(
    st.text(st.characters(codec="utf-8"), max_size=8) | st.integers(-(10**6), 10**6) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(names, st.dictionaries(names, values, max_size=4), max_size=4))
def test_what_is_written_is_read_back_and_found_where_it_was_written(content: dict[str, dict[str, Any]]) -> None:
    written: list[str] = []
    expected: dict[TomlPath, int] = {}
    for section, table in content.items():
        written += ["", f"[{toml_name(section)}] # [x]"]
        expected[(section,)] = len(written)
        for name, value in table.items():
            written.append(f"{toml_name(name)} = {toml_text(value)}")
            expected[(section, name)] = len(written)
    text = "\n".join(written)
    assert tomllib.loads(text) == content
    assert {path: line for path, line in lines(text).items() if path in expected} == expected
