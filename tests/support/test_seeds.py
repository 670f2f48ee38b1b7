"""FUZZ multiplies the examples of every test of Hypothesis."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXED = re.compile(r"max_examples=\d")
PRINT = "import tests.conftest; from hypothesis import settings; from tests.support.seeds import examples"


def test_it_multiplies_usual_and_other_numbers() -> None:
    found = subprocess.run(
        [sys.executable, "-c", f"{PRINT}; print(settings().max_examples, examples(40))"],
        cwd=ROOT,
        env={"FUZZ": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "300 120\n"


def test_no_test_has_a_number_that_is_not_multiplied() -> None:
    fixed = [str(path) for path in sorted((ROOT / "tests").rglob("*.py")) if FIXED.search(path.read_text("utf-8"))]
    assert fixed == []
