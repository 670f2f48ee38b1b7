"""The guide to authorizers does what it says: its example is run, its configurations are taken."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from gateway.sessions.loading import load
from whimbrel_server import Connection, Refusal

GUIDE = (Path(__file__).parents[3] / "gateway" / "authorizers" / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.S | re.M)


def test_the_example_works_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (program,) = blocks("python")
    assert len([line for line in program.splitlines() if line and "import" not in line]) <= 10
    (tmp_path / "customers.py").write_text(program)
    authorizer = load("customers:Customers", {}, str(tmp_path))
    ann = authorizer.connect(Connection("1.2.3.4:5", token="ann:secret"))
    assert ann.name == "ann"
    authorizer.subscribe(ann, "/chat/ann/*")
    for refused in ("/chat/bob/x", "/chat/*"):
        with pytest.raises(Refusal, match="somebody else's"):
            authorizer.subscribe(ann, refused)
    with pytest.raises(Refusal):
        authorizer.publish(ann, "/chat/ann/x")
    with pytest.raises(Refusal, match="log in first"):
        authorizer.connect(Connection("1.2.3.4:5"))


def test_its_configurations_can_be_used() -> None:
    sections = [tomllib.loads(block)["authorizer"] for block in blocks("toml")]
    assert [section["use"] for section in sections] == ["jwt", "webhook", "customers:Customers"]
    for section in sections[:2]:
        load(section.pop("use"), section)
