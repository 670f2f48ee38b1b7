"""A tool that is missing skips a test, and fails it where everything is required."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import require as module
from tests.support.require import require


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PATH", "")
    module._missing.cache_clear()
    yield
    module._missing.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("tool", ["java", "maven", "node", "npm", "browser", "netns", "nspawn"])
def test_a_missing_tool_skips_or_fails(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="installed"):
        require(tool)
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_ALL"):
        require(tool)


@pytest.mark.parametrize(("printed", "is_enough"), [('openjdk version "17.0.1"', True), ('version "11.0.2"', False)])
def test_an_old_version_is_as_good_as_none(printed: str, is_enough: bool) -> None:
    assert (module._version_below("echo", [printed], "Java", 17) is None) == is_enough
