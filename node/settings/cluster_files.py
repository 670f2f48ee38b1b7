"""Reads the files that `[cluster]` names, and makes the node's keys of them; says where promises are kept.

Not here: the settings themselves (cluster.py), what the keys are for (mesh/keys.py).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from mesh.keys import SHARED_CHARACTERS_MIN, Keys, KeysError, derive
from node.settings.effective import Effective
from node.settings.layers import Problem
from node.settings.schema import Settings


def mesh_keys(settings: Settings) -> Keys:
    """This node's keys, when it has sockets for other nodes.

    Raises:
        ValueError: If a file cannot be read, or what is in them cannot be used.
    """
    cluster = settings.cluster
    assert cluster.is_on
    key = _cluster_key(cluster.key_file) if cluster.key_file else cluster.key
    secret = _secret_key(cluster.secret_key_file) if cluster.secret_key_file else None
    return derive(key, cluster.name, settings.node.name, cluster.node_keys, secret)


def data_dir(settings: Settings, environment: Mapping[str, str]) -> Path:
    """The directory for what must survive a restart; not made here."""
    if settings.cluster.data_dir:
        return Path(settings.cluster.data_dir)
    state = environment.get("XDG_STATE_HOME", "")
    # XDG's rule: a path that is not absolute counts as none.
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "whimbrel" / settings.cluster.name / settings.node.name


def problems(effective: Effective) -> list[Problem]:
    """What is wrong with the files and with the keys, as far as all that they need was given and is right itself."""
    cluster = effective.settings.cluster
    if any(problem.key.startswith(("cluster.", "node.name")) for problem in effective.problems + effective.missing()):
        return []
    found = []
    for path, name, read in (
        ("cluster.key_file", cluster.key_file, _cluster_key),
        ("cluster.secret_key_file", cluster.secret_key_file, _secret_key),
    ):
        try:
            if name:
                read(name)
        except ValueError as error:
            found.append(Problem(effective.source(path), path, f'found "{name}": {error}'))
    if cluster.is_on and not found:
        try:
            mesh_keys(effective.settings)
        except KeysError as error:
            path = "cluster.node_keys" if cluster.node_keys else "cluster.key"
            found.append(Problem(effective.source(path), path, str(error)))
    return found


def _cluster_key(name: str) -> str:
    text = _text(name).strip()
    if len(text) < SHARED_CHARACTERS_MIN or len(text.split("\n")) > 1:
        raise ValueError(f"expected one line of at least {SHARED_CHARACTERS_MIN} characters: whimbrel keygen makes one")
    return text


def _secret_key(name: str) -> str:
    try:
        return str(tomllib.loads(_text(name))["secret"])
    except (tomllib.TOMLDecodeError, KeyError):
        raise ValueError("expected the two lines that whimbrel keygen --node-key prints") from None


def _text(name: str) -> str:
    try:
        return Path(name).read_bytes().decode()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("not text") from None
