"""Reads the configuration: file, then environment, then flags.

Not here: what they say (layers.py). This is the only place that reads the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from node.settings.effective import MACHINE, Effective, effective
from node.settings.keys import KEYS, toml_text
from node.settings.layers import Layers, Problem
from node.settings.lines import lines

_NAMES_OF_CODE = {"authorizer.folder": ("authorizer.use", "audit.use"), "kafka.oauth_folder": ("kafka.oauth",)}
"""Where modules are looked for -> the keys that name something in them, as `module:name`."""


def load(
    config: str | None, environment: Mapping[str, str], flags: Iterable[tuple[str, str]], host_name: str = ""
) -> Effective:
    """Read the configuration; what is wrong is in the result's `problems`.

    Args:
        config: Path of the file; None: the one that WHIMBREL_CONFIG names, or none.
        flags: Each with its value, in order: `("--set", "cache.ttl=5m")`.
        host_name: The machine's, after which the node is named if nobody says how.
    """
    layers = Layers()
    try:
        layers.values["node.name"] = KEYS["node.name"].read(host_name.partition(".")[0])
        layers.sources["node.name"] = MACHINE
    except ValueError:
        pass  # no name for a node
    path = config if config is not None else environment.get("WHIMBREL_CONFIG")
    if path:
        _read(layers, path)
    layers.put_environment(environment)
    layers.put_flags(flags)
    for folder, keys in _NAMES_OF_CODE.items():
        is_ours = any(":" in toml_text(layers.values.get(key, "")) for key in keys)
        if path and is_ours and folder not in layers.values:
            layers.values[folder] = str(Path(path).resolve().parent)
            layers.sources[folder] = path
    return effective(layers)


def _read(layers: Layers, name: str) -> None:
    try:
        text = Path(name).read_bytes().decode()
        content = tomllib.loads(text)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: {error.reason} at byte {error.start}"
    except tomllib.TOMLDecodeError as error:
        reason = f"not TOML: {error}"
    else:
        layers.put_file(name, content, lines(text.replace("\r\n", "\n")))
        return
    layers.unread = True
    layers.problems.append(Problem(name, "", reason))
