"""The table of codes is one table, in three places."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gateway.link import codes

CLIENT = Path(__file__).parents[3] / "client"
ROW = re.compile(r"^\| (4\d\d\d) \| `(\w+)` \| (\w+) \| ?(.*?) ?\|$", re.MULTILINE)


def test_the_vector_is_the_table() -> None:
    rows = [{"code": row.code, "name": row.name, "as": row.shown_as, "meaning": row.meaning} for row in codes.TABLE]
    assert json.loads((CLIENT / "vectors/codes.json").read_text()) == rows


def test_the_protocol_has_the_table() -> None:
    found = ROW.findall((CLIENT / "PROTOCOL.md").read_text())
    assert found == [(str(row.code), row.name, row.shown_as, row.meaning) for row in codes.TABLE]


def test_every_name_is_a_constant_and_every_code_is_used_once() -> None:
    assert {name: getattr(codes, name.upper()) for name in codes.NAMES.values()} == {
        name: code for code, name in codes.NAMES.items()
    }
    assert len(codes.NAMES) == len(codes.TABLE)
