"""The alert rules, as Prometheus itself judges them: each fires when it is to, and only then (alerts.yml).

Not here: whether the metrics exist that they ask for (tests/hosts/test_edge.py).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests.support.require import require

ALERTS = Path(__file__).with_name("alerts.yml")
RULES = Path(__file__).parents[2] / "ansible" / "roles" / "monitoring" / "files" / "whimbrel.rules.yml"


def test_each_alert_fires_when_it_is_to_and_only_then() -> None:
    require("prometheus")
    ran = subprocess.run(["promtool", "test", "rules", str(ALERTS)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_no_alert_is_left_out() -> None:
    rules = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    firing: dict[bool, set[str]] = {True: set(), False: set()}
    for test in yaml.safe_load(ALERTS.read_text())["tests"]:
        for case in test["alert_rule_test"]:
            firing["exp_alerts" in case].add(case["alertname"])
    assert firing[True] == firing[False] == rules


def test_what_to_do_is_written_for_each() -> None:
    rules = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    operations = (RULES.parents[4] / "OPERATIONS.md").read_text()
    assert rules == set(re.findall(r"^\| `(Whimbrel\w+)` \|", operations, re.MULTILINE))
