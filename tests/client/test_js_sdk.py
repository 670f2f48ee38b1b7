"""The JavaScript SDK by its own tests, and its types against its source.

Not here: the SDK in a browser, against a live node (tests/browser).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.require import require

HERE = Path(__file__).parents[2] / "client" / "js"

pytestmark = [pytest.mark.node_js, pytest.mark.slow]


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The SDK's folder, with what its tests need installed in it."""
    require("node", "npm")
    installed = HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (HERE / "package-lock.json").stat().st_mtime:
        run(HERE, "npm", "ci", "--no-audit", "--no-fund")
    return HERE


def run(folder: Path, *command: str) -> str:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-6000:]}{ran.stderr[-3000:]}"
    return ran.stdout


def test_its_own_tests(sdk: Path) -> None:
    report = run(sdk, "node", "--test", "--test-reporter=tap", *map(str, sorted(sdk.glob("test/*.test.js"))))
    counts = dict(line[2:].split(" ") for line in report.splitlines() if line.startswith("# ") and line.count(" ") == 2)
    assert int(counts["pass"]) > 100, report[-2000:]
    assert int(counts["fail"]) == int(counts["skipped"]) == int(counts["todo"]) == 0


def test_the_source_fits_its_types(sdk: Path, tmp_path: Path) -> None:
    run(sdk, "npx", "--no-install", "tsc", "-p", "tsconfig.json", "--outDir", str(tmp_path))
    made = {path.name: path.read_text() for path in tmp_path.glob("*.d.ts")}
    kept = {path.name: path.read_text() for path in (sdk / "types").glob("*.d.ts")}
    assert made == kept, "the declarations are not those of the source: run `npm run types` in client/js"


def test_a_program_in_typescript_can_use_it(sdk: Path) -> None:
    run(sdk, "npx", "--no-install", "tsc", "-p", "test/tsconfig.json")


def test_without_a_websocket_it_says_so_at_once_and_one_beside_the_program_is_found(sdk: Path, tmp_path: Path) -> None:
    alone, app = tmp_path / "sdk", tmp_path / "app"
    alone.mkdir()
    app.mkdir()
    for path in [*sdk.glob("*.js"), sdk / "package.json"]:
        shutil.copy(path, alone)
    script = (
        f'const {{ Client }} = await import("file://{alone}/whimbrel.js");'
        'try { const c = new Client("ws://127.0.0.1:1"); console.log(c.state); c.close(); }'
        "catch (error) { console.log(error.message); }"
    )
    command = ["node", "--no-experimental-websocket", "--input-type=module", "-e", script]
    assert run(app, *command).startswith("this Node.js has no WebSocket: `npm install ws`")
    (app / "node_modules").mkdir()
    (app / "node_modules" / "ws").symlink_to(sdk / "node_modules" / "ws")
    assert run(app, *command) == "connecting\n"


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in (HERE / "package-lock.json").read_text()
