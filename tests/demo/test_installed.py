"""Whimbrel as packages: built from the checkout, installed into a fresh environment, and used away from it.

What Whimbrel needs comes from the environment of the tests, so that no package index is asked.

Not here: the Python SDK's own package (tests/client/test_packages.py).
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.demo.test_run import Demo

ROOT = Path(__file__).parents[2]
OURS = ("mesh", "gateway", "node", "loadtest", "client", "pyproject.toml", "README.md", "LICENSE")
BUILT = shutil.ignore_patterns("__pycache__", "node_modules", "build", "dist", "*.egg-info")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, the wheel that is built from it, and the SDK's wheel."""
    copy, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in OURS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=BUILT)
        else:
            shutil.copy(ROOT / name, copy)
    build = ("-m", "build", "--no-isolation", "--outdir", str(dist))
    run(sys.executable, *build, str(copy))
    run(sys.executable, *build, "--wheel", str(copy / "client" / "python"))
    return dist


@pytest.fixture(scope="module")
def environment(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment in which nothing of ours is but the wheels."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    wheels = [str(wheel) for wheel in dist.glob("*.whl")]
    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", *wheels)
    # A folder that stands in such a file is searched last, and its own such files, which lead to the checkout, are not.
    site = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_what_is_said_about_the_packages_can_be_shown(dist: Path) -> None:
    said = run(sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir()))
    assert said.count("PASSED") == 3


def test_the_installed_demo_runs_whatever_lies_in_the_folder(environment: Path, tmp_path: Path) -> None:
    for name in ("node", "gateway", "mesh", "loadtest", "whimbrel"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')\n")
    where = "import node, whimbrel; print(node.__file__, whimbrel.__file__)"
    found = run(str(environment / "bin" / "python"), "-P", "-c", where).split()
    assert all(Path(file).is_relative_to(environment) for file in found), found
    demo = Demo(tmp_path, environment / "bin" / "whimbrel", tmp_path)
    try:
        assert set(demo.pids()) == {"a", "b", "c"}
        for path in ("/", "/sdk/whimbrel.js"):  # files that are no modules came along
            with urllib.request.urlopen(f"http://127.0.0.1:{demo.port}{path}", timeout=30) as answer:
                assert answer.status == 200
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0, demo.output
    finally:
        demo.end()


def run(*command: str) -> str:
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-6000:]}"
    return ran.stdout
