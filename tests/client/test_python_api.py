"""`client/python/API.md` against the package: every name, option, parameter, member, event and field, no others."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import whimbrel
from whimbrel import events

PAGE = (Path(__file__).parents[2] / "client" / "python" / "API.md").read_text(encoding="utf-8")
README = (Path(__file__).parents[2] / "client" / "python" / "README.md").read_text(encoding="utf-8")

CLASSES = ["Client", "Subscription", "BlockingClient", "BlockingSubscription", "Message", "Published"]
INSTANCE_ATTRIBUTES = {
    "Subscription": {"interest"},
    "RequestError": {"code", "name", "reason"},
    "PublishError": {"outcome_unknown"},
    "ClosedError": {"code", "reason"},
}
INTERNAL = {
    "Client": {"connection_opened", "connection_received", "connection_lost", "until_readable"}
    | {"end_subscription", "took_from", "tell"},
    "Subscription": {"next_events", "call_for_each", "waiting", "waits_for", "put", "end"},
    "BlockingClient": {"tell", "run"},
}
"""What one part of the package uses of another, said so in the source by a comment."""


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, f"no section {title}"
    return found[1]


def rows(text: str) -> dict[str, str]:
    """First cells and second cells of all tables, headings left out."""
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.M))


def signature(name: str, function: Any) -> str:
    parameters = [
        f"{'**' if parameter.kind is inspect.Parameter.VAR_KEYWORD else ''}{parameter.name}"
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self"
    ]
    return f"{name}({', '.join(parameters)})"


def members(cls: type) -> set[str]:
    names = {name for name in vars(cls) if not name.startswith("_")} - INTERNAL.get(cls.__name__, set())
    names |= INSTANCE_ATTRIBUTES.get(cls.__name__, set())
    names -= {"count", "index"}  # of a tuple
    return {
        signature(name, getattr(cls, name)) if inspect.isfunction(getattr(cls, name, None)) else name for name in names
    }


def test_members_and_parameters() -> None:
    for name in CLASSES:
        documented = set(rows(section(f"`{name}`"))) - options()
        assert documented == members(getattr(whimbrel, name)), name


def options() -> set[str]:
    return set(rows(section("`Client`").split("| Member |")[0]))


def test_options() -> None:
    assert options() == set(inspect.signature(whimbrel.Client).parameters)


def test_errors() -> None:
    errors = {name for name in whimbrel.__all__ if name.endswith("Error")}
    attributes = {f"{name}.{item}" for name in errors for item in INSTANCE_ATTRIBUTES.get(name, ())}
    assert set(rows(section("Errors"))) == errors | attributes
    error = whimbrel.PublishError("what", 4313, "publish_disabled", "no", outcome_unknown=False)
    assert set(vars(error)) == {"code", "name", "reason", "outcome_unknown"}
    assert set(vars(whimbrel.ClosedError(None, "no"))) == {"code", "reason"}


def test_events_and_their_fields() -> None:
    classes = {
        name: cls
        for name, cls in vars(events).items()
        if dataclasses.is_dataclass(cls) and inspect.isclass(cls) and cls.__module__ == events.__name__
    }
    told = {name: cls for name, cls in classes.items() if "Not a status" not in (cls.__doc__ or "")}
    documented = rows(section("Events"))
    assert set(documented) == {*told, "Status"}
    for name, cls in told.items():
        fields = re.findall(r"`(\w+)`", documented[name].split(": ")[0])
        assert fields == [field.name for field in dataclasses.fields(cls)], name


def test_every_name_that_is_exported_is_documented_and_no_other() -> None:
    tables = {*rows(section("Where to start")), *rows(section("Subjects")), *rows(section("Errors")), "Status"}
    documented = {name.split("(")[0] for name in tables if "." not in name.split("(")[0]} | {*CLASSES}
    assert documented == set(whimbrel.__all__)
    assert set(whimbrel.__all__) <= set(dir(whimbrel))
    for name, said in {**rows(section("Where to start")), **rows(section("Subjects"))}.items():
        if "(" in name and said:
            assert name == signature(name.split("(")[0], getattr(whimbrel, name.split("(")[0]))


def test_every_heading_is_known() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.M)
    assert titles == [
        "Rules",
        *(f"`{name}`" for name in CLASSES[:4]),
        "Where to start",
        *(f"`{name}`" for name in CLASSES[4:]),
        "Subjects",
        "Errors",
        "Events",
    ]


def test_the_readme_names_what_there_is() -> None:
    for name in re.findall(r"(?<![.\w])(?:client|subscription)\.(\w+)\b(?!`, `)", README):
        assert any(re.match(rf"{name}\b", item) for cls in CLASSES for item in members(getattr(whimbrel, cls))), name
