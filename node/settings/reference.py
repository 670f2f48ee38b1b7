"""Writes REFERENCE.md, the description of every key, from the schema.

`python -m node.settings.reference > node/settings/REFERENCE.md`; a test holds the file equal to what this gives.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import msgspec

from node.settings.keys import KEYS, LISTS, SECTIONS, Key, toml
from node.settings.layers import FLAGS, variable
from node.settings.relations import AT_MOST, REFUSED
from node.settings.schema import Namespace, Topic
from node.settings.show import LIST_AFTER

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
* **Topics and namespaces** on the command line and in the environment: `--topics 'flights,logs:text,orders.*'`
  (`WHIMBREL_TOPICS`) and `--namespaces 'chat,log:text'` (`WHIMBREL_NAMESPACES`) replace the file's lists;
  `--publish 'notes'` (`WHIMBREL_PUBLISH`) lets clients publish to topics and namespaces besides what the lists say, and
  adds topics that are lacking; where there are only namespaces and no Kafka it must name one of them.
* Secrets (passwords, private keys, tokens, the cluster's key) are shown as `***`.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield HEAD
    for section, struct in SECTIONS.items():
        yield from _section(f"[{section}]", struct, [key for key in KEYS.values() if key.section == section])
        if section in LIST_AFTER:
            name = LIST_AFTER[section]
            yield from _section(
                f"[[{name}]]", {"topics": Topic, "namespaces": Namespace}[name], [*LISTS[name].values()]
            )
    yield "## Between keys\n"
    yield from (f"* `{lesser}` is at most `{greater}`: {why}." for lesser, greater, why in AT_MOST)
    yield "* No entry of `topics` is one that an earlier entry always comes before, or has the name of a namespace."
    yield "* `kafka.bootstrap` is needed where there are topics, and `topics` where there are no namespaces."
    yield "* Where there are other nodes, `cluster.key` or `cluster.key_file` is needed, not both; with `cluster.join`,"
    yield "  `cluster.voters`; where `cluster.listen` stands for all addresses of the machine, `cluster.advertise`."
    yield "* `cluster.node_keys` and `cluster.secret_key_file` are given both or neither; there is a key of this node"
    yield "  and of each voter."
    yield "* The ports of `cluster.listen` are not that of `node.listen`.\n"
    yield "## Properties of librdkafka that cannot be set\n"
    yield from (f"* `{name}`: {why}." for name, why in REFUSED.items())
    yield ""


def _section(title: str, struct: type, keys: list[Key]) -> Iterator[str]:
    yield f"## {title}\n\n{inspect.cleandoc(struct.__doc__ or '')}\n"
    yield "| Key | Default | Meaning | Value is | Environment, flag |\n|---|---|---|---|---|"
    flags = {path: flag for flag, path in FLAGS.items()}
    for key in keys:
        set_by = f"`{variable(key.path)}`" if key.section not in LISTS else ""
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
