"""The page's cores: the proof that nothing is missing, the fleet, the projection (page.test.js, in Node.js).

Not here: the page in a browser (test_page.py).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.require import require

PAGE = Path(__file__).parents[2] / "gateway" / "web"


@pytest.mark.node_js
@pytest.mark.slow
def test_cores_of_the_page(tmp_path: Path) -> None:
    require("node")
    # Node.js takes a file for an ES module only where a package.json says so, and the page has none.
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for source in (*PAGE.glob("*.js"), Path(__file__).with_name("page.test.js")):
        shutil.copy(source, tmp_path)
    ran = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "page.test.js"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert ran.stdout.count("\nok ") + ran.stdout.count("\n    ok ") >= 15, ran.stdout[-2000:]
