"""The demo as a user starts it, and a browser, for the tests of its page."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.kafka.ports import free_port
from loadtest.kafka.processes import start_process
from tests.browser.visitor import FLAGS
from tests.support.patience import PATIENCE_S
from tests.support.require import browser_path, require


@pytest.fixture(scope="package")
def demo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running `whimbrel demo`; it must end by itself, and cleanly, when it is told to."""
    port = free_port()
    log_file: Path = tmp_path_factory.mktemp("demo") / "demo.log"
    command = [str(Path(sys.executable).with_name("whimbrel")), "demo", "--listen", f"127.0.0.1:{port}"]
    with log_file.open("wb") as log:
        demo = start_process([*command, "--set", "node.drain=500ms"], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE_S
    while not all(_is_ready(f"http://127.0.0.1:{port + n}") for n in range(3)):
        assert time.monotonic() < deadline, log_file.read_text()
        assert demo.poll() is None, log_file.read_text()
        time.sleep(0.1)
    yield url
    demo.send_signal(signal.SIGTERM)
    try:
        assert demo.wait(PATIENCE_S) == 0, log_file.read_text()
    except subprocess.TimeoutExpired:
        demo.kill()
        raise


@pytest.fixture(scope="package")
def demo_urls(demo_url: str) -> list[str]:
    """The addresses of all its nodes."""
    host, _, port = demo_url.rpartition(":")
    return [f"{host}:{int(port) + n}" for n in range(3)]


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="package")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    require("browser")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser_path() or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield started
    started.quit()
