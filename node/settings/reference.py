"""Writes the tables of REFERENCE.md, the description of every key, from the schema; the text between them is its own.

`python -m node.settings.reference` writes them anew; a test holds the file equal to what this gives.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

from node.settings.keys import KEYS, LISTS, SECTIONS, toml
from node.settings.layers import FLAGS, variable
from node.settings.relations import AT_MOST, REFUSED
from node.settings.schema import Settings

PAGE = Path(__file__).with_name("REFERENCE.md")


def markdown(page: str) -> str:
    """The page with its generated parts anew: each stands between two comments."""
    parts = {
        "sections": "\n".join(line for section in Settings.__struct_fields__ for line in _section(section)),
        "relations": "".join(f"* `{low}` is at most `{high}`: {why}.\n" for low, high, why in AT_MOST),
        "refused": "".join(f"* `{name}`: {why}.\n" for name, why in REFUSED.items()),
    }
    for name, text in parts.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        page = before + mark + text + rest[rest.index("<!-- end -->") :]
    return page


def descriptions(struct: type) -> dict[str, str]:
    """Field -> the text under it."""
    (body,) = [node.body for node in ast.parse(inspect.getsource(struct)).body if isinstance(node, ast.ClassDef)]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _section(section: str) -> Iterator[str]:
    struct, described = (SECTIONS | LISTS)[section], descriptions((SECTIONS | LISTS)[section])
    yield f"## {f'[[{section}]]' if section in LISTS else f'[{section}]'}\n\n{inspect.cleandoc(struct.__doc__ or '')}\n"
    yield "| Key | Default | Meaning | Value is | Environment, flag |\n|---|---|---|---|---|"
    flags = {path: f", `{flag}`" for flag, path in FLAGS.items()}
    for key in (key for key in KEYS.values() if key.section == section):
        name = key.path.removeprefix(f"{section}.").replace("*", "…")
        default = "" if key.default in ({}, msgspec.NODEFAULT) else f"`{toml(key, key.default)}`"
        value = key.kind.expected.partition(", written as")[0]
        set_by = f"`{variable(key.path)}{'…' if key.kind.is_open else ''}`{flags.get(key.path, '')}"
        yield f"| `{name}` | {default} | {described[key.attribute]} | {value} | {'' if section in LISTS else set_by} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(markdown(PAGE.read_text()))
