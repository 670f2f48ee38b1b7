"""The guide to auditors does what it says: its example is run, its configurations are taken."""

from __future__ import annotations

import re
from pathlib import Path

from node.audit.loading import load
from node.settings import load as load_settings
from whimbrel_server import AuditEvent

GUIDE = (Path(__file__).parents[3] / "node" / "audit" / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.S | re.M)


def test_the_example_works_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    program, configuration = blocks("python")[0], blocks("toml")[1]
    (tmp_path / "mine.py").write_text(program)
    config = tmp_path / "whimbrel.toml"
    config.write_text(configuration.replace("/tmp/refusals", str(tmp_path / "refusals")))
    settings = load_settings(str(config), {}, [], "n").settings
    (name,) = settings.audit.use
    auditor = load(name, settings.audit.options_of(name, settings.kafka), settings.authorizer.folder)
    refused = {"address": "1.2.3.4:5", "reason": "who are you?"}
    auditor.write([AuditEvent(7, "n", "access", "refused", refused), AuditEvent(8, "n", "access", "connected", {})])
    assert (tmp_path / "refusals").read_text() == "7 1.2.3.4:5 who are you?\n"


def test_the_configuration_is_what_its_auditors_take(tmp_path: Path) -> None:
    config = tmp_path / "whimbrel.toml"
    config.write_text("[kafka]\nbootstrap = 'localhost:1'\n" + blocks("toml")[0])
    effective = load_settings(str(config), {}, [], "n")
    assert not effective.problems
    audit = effective.settings.audit
    assert audit.options_of("log", effective.settings.kafka) == {"file": "/var/log/whimbrel/audit.jsonl"}
    load("kafka", audit.options_of("kafka", effective.settings.kafka)).close()
    assert effective.settings.topics[0].audit


def test_every_event_that_is_told_is_in_the_guide() -> None:
    told: set[str] = set()
    for name in ("gateway/sessions/trail.py", "node/audit/insides.py", "node/audit/audit.py"):
        text = (Path(__file__).parents[3] / name).read_text()
        told |= set(re.findall(r'(?:ACCESS|MESSAGE|CACHE|"cache"|"stats"|_of_subject\(|_of_token\(),?\s*"(\w+)"', text))
    assert len(told) > 12
    assert {name for name in told if f"`{name}`" not in GUIDE} == set()
