"""The configuration as a TOML file, with where each value came from in comments.

Invariant: what is written, read as a file, gives the same settings again, but for secrets, which are `***`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from node.settings.effective import Effective
from node.settings.keys import KEYS, LISTS, masked, toml, toml_name, toml_text
from node.settings.schema import Settings


def show(effective: Effective, in_effect: Mapping[str, object] | None = None) -> str:
    """The whole configuration, sources in a column of comments.

    Args:
        in_effect: Path of a key -> what its value comes to on this machine, said behind its source.
    """
    rows = list(statements(effective.settings))
    width = max(len(text) for text, path in rows if path and len(text) <= 60)
    means = {path: f", that is {toml_text(value)}" for path, value in (in_effect or {}).items()}
    return "".join(
        f"{text:{width}}  # {effective.source(path)}{means.get(path, '')}\n" if path else f"{text}\n"
        for text, path in rows
    )


def statements(settings: Settings, *, with_secrets: bool = False) -> Iterator[tuple[str, str]]:
    """Each line, and the path of what it sets; no path for a table's header and a blank line."""
    for section in Settings.__struct_fields__:
        keys = [key for key in KEYS.values() if key.section == section]
        if section in LISTS:
            for index, entry in enumerate(getattr(settings, section)):
                yield f"[[{section}]]", ""
                for key in keys:
                    yield f"{key.name} = {toml_text(getattr(entry, key.attribute))}", f"{section}[{index}].{key.name}"
                yield "", ""
            continue
        yield f"[{section}]", ""
        for key in keys:
            value = key.get(settings)
            if not key.kind.is_open:  # whether there is a secret is none
                shown = value if with_secrets or not value else masked(key.path, value)
                yield f"{key.name} = {toml(key, shown)}", key.path
                continue
            table = key.path.removesuffix(".*")
            if value and table != section:
                yield from (("", ""), (f"[{table}]", ""))
            assert isinstance(value, dict)
            for name, item in value.items():
                path = f"{table}.{name}"
                yield f"{toml_name(name)} = {toml_text(item if with_secrets else masked(path, item))}", path
        yield "", ""
