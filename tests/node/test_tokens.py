"""What is said of `kafka.oauth`: of the function, of what it gives, and of the properties around it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from node.kafka.tokens import TokenSource
from node.settings import librdkafka, load, plugins

BY_TOKEN = ["kafka.client.security.protocol=SASL_SSL", "kafka.client.sasl.mechanisms=OAUTHBEARER"]


def problems(*sets: str, config: Path | None = None) -> list[str]:
    effective = load(str(config) if config else None, {}, [("--set", text) for text in sets])
    return [str(one) for one in (*effective.problems, *librdkafka.problems(effective), *plugins.problems(effective))]


def test_the_function_is_imported_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "whimbrel.toml"
    config.write_text("")
    (tmp_path / "my_tokens.py").write_text("def token(config): ...\nlifetime = 5\n")
    (tmp_path / "my_broken.py").write_text("import no_such_package\n")
    for name, told in {
        "my_tokens:token": "",
        "my_tokens:other": "the module 'my_tokens' has no 'other'",
        "my_tokens:lifetime": "'my_tokens:lifetime' is no function but of type int",
        "my_broken:token": "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'",
        "my_tokens": "expected module:function",
    }.items():
        found = problems(*BY_TOKEN, f"kafka.oauth={name}", config=config)
        assert told in "".join(found), found
        assert bool(found) == bool(told), found


def test_tokens_must_come_from_somewhere_and_be_wanted() -> None:
    (none,) = problems(*BY_TOKEN)
    assert "kafka.client.sasl.mechanisms: OAUTHBEARER needs tokens" in none
    assert "kafka.oauth" in none
    assert "oidc" in none
    function = "kafka.oauth=os.path:join"
    assert problems(*BY_TOKEN, function) == []
    for sets in ([], [*BY_TOKEN[:1], "kafka.client.sasl.mechanisms=PLAIN"], BY_TOKEN[1:]):
        assert (
            'kafka.oauth: found "os.path:join", expected sasl.mechanisms = "OAUTHBEARER"'
            in problems(function, *sets)[0]
        )
    assert "expected no other source" in problems(function, *BY_TOKEN, "kafka.client.sasl.oauthbearer.method=oidc")[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a token", "found a str, expected"),
        (("a token",), "found a tuple, expected"),
        ((b"a token", 1.0), "found (bytes, float), expected"),
        (("a token", 1.0), "has expired already"),
        (("a token", time.time() * 1000), "milliseconds"),
    ],
)
def test_what_is_no_token_is_told_without_it(given: Any, told: str) -> None:
    source = TokenSource(lambda config: given)
    with pytest.raises(ValueError, match=r"expected|expired"):
        source("")
    assert told in source.problem
    assert "a token" not in source.problem


@pytest.mark.parametrize("more", [(), ("principal", {"a": "b"})])
def test_a_token_is_handed_on_as_it_is(more: tuple[Any, ...]) -> None:
    given = ("t", time.time() + 60, *more)
    source = TokenSource(lambda config: given)
    assert source(None) == given
    assert source.problem == ""
