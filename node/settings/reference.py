"""Writes REFERENCE.md, the description of every key, from the schema.

`python -m node.settings.reference > node/settings/REFERENCE.md`; a test holds the file equal to what this gives.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec

from node.settings.keys import KEYS, SECTIONS, TOPIC_KEYS, Key, toml
from node.settings.layers import FLAGS, variable
from node.settings.relations import AT_MOST, REFUSED
from node.settings.schema import Topic

HEAD = """\
# Configuration

Written by `python -m node.settings.reference` from the schema: do not edit.

A node reads a TOML file (`--config FILE`, or `WHIMBREL_CONFIG`), then environment variables, then flags; the last
has the last word, key by key. `whimbrel check-config`, with the same flags, prints what is in effect and where each
value came from, and ends with exit code 2 if anything is wrong. An unknown key is an error.

* **Durations** are text with units (`"10m"`, `"1h30m"`, `"500ms"`; d, h, m, s, ms, us) or numbers of seconds.
* **Sizes** are text with units (`"512MiB"`, `"1MB"`; KiB, MiB, GiB, TiB are powers of 1024, kB, MB, GB, TB of 1000)
  or whole numbers of bytes.
* **Environment**: `WHIMBREL_CACHE_TTL=5m` is `cache.ttl`. Lists are separated by commas.
  `WHIMBREL_KAFKA_CLIENT_SASL_PASSWORD` is `sasl.password` in `[kafka.client]`.
* **Flags**: `--set cache.ttl=5m` sets any key, and some have flags of their own (last column).
* **Topics** on the command line and in the environment: `--topics 'flights,logs:text,orders.*'`
  (`WHIMBREL_TOPICS`) replaces the file's list; `--publish 'notes'` (`WHIMBREL_PUBLISH`) lets clients publish to
  topics besides what the list says, and adds those that it lacks.
* Secrets (passwords, private keys, tokens) are shown as `***`.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield HEAD
    for section, struct in SECTIONS.items():
        yield from _section(f"[{section}]", struct, [key for key in KEYS.values() if key.section == section])
        if section == "kafka":
            yield from _section("[[topics]]", Topic, list(TOPIC_KEYS.values()))
    yield "## Between keys\n"
    yield from (f"* `{lesser}` is at most `{greater}`: {why}." for lesser, greater, why in AT_MOST)
    yield "* No entry of `topics` is one that an earlier entry always comes before.\n"
    yield "## Properties of librdkafka that cannot be set\n"
    yield from (f"* `{name}`: {why}." for name, why in REFUSED.items())
    yield ""


def _section(title: str, struct: type, keys: list[Key]) -> Iterator[str]:
    yield f"## {title}\n\n{struct.__doc__}\n"
    yield "| Key | Default | Meaning | Value is | Environment, flag |\n|---|---|---|---|---|"
    flags = {path: flag for flag, path in FLAGS.items()}
    for key in keys:
        set_by = f"`{variable(key.path)}`" if key.section != "topics" else ""
        if key.kind in ("properties", "rest"):
            set_by = f"`{variable(key.section if key.kind == 'rest' else key.path)}_…`"
        if key.path in flags:
            set_by += f", `{flags[key.path]}`"
        name = "…" if key.kind == "rest" else key.name
        default = "" if key.default in ({}, msgspec.NODEFAULT) else f"`{toml(key, key.default)}`"
        value = key.expected.partition(", written as")[0]
        yield f"| `{name}` | {default} | {key.description} | {value} | {set_by} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
