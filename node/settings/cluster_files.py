"""Reads the files with keys that the configuration names; where promises are kept; warnings about files.

Not here: the settings themselves (cluster.py, schema.py), what the keys are for (mesh/transport/keys.py).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from mesh.transport.keys import SHARED_CHARACTERS_MIN, Keys, KeysError, derive
from node.settings import relations
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
    accepted = _cluster_key(cluster.accepted_key_file) if cluster.accepted_key_file else None
    others = cluster.accepted_node_keys
    return derive(key, cluster.name, settings.node.name, cluster.node_keys, secret, accepted, others)


def admin_token(settings: Settings) -> str:
    """What requests to the admin listener must bring; empty: nothing.

    Raises:
        ValueError: If the file cannot be read, or what is in it cannot be used.
    """
    return _token(settings.admin.token_file) if settings.admin.token_file else settings.admin.token


def data_dir(settings: Settings, environment: Mapping[str, str]) -> Path:
    """The directory for what must survive a restart; not made here."""
    if settings.cluster.data_dir:
        return Path(settings.cluster.data_dir)
    state = environment.get("XDG_STATE_HOME", "")
    # XDG's rule: a path that is not absolute counts as none.
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "whimbrel" / settings.cluster.name / settings.node.name


def in_effect(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The directory in effect, by the key's path, if it is not given and the node keeps promises."""
    keeps = len(settings.voters) > 1 and settings.node.name in settings.voters
    return {"cluster.data_dir": str(data_dir(settings, environment))} if keeps and not settings.cluster.data_dir else {}


def warnings(settings: Settings) -> list[str]:
    """What is allowed but dangerous, of the settings and of the files that they name."""
    return relations.warnings(settings) + [
        f"OTHERS CAN READ THE KEY: {path} is {name}, which its group or everybody may read. chmod 600 {name}"
        for path, name, _ in _files(settings)
        if name and _is_open(Path(name))
    ]


def problems(effective: Effective) -> list[Problem]:
    """What is wrong with the files and, if everything they need is right, with the keys."""
    cluster = effective.settings.cluster
    others = {problem.key for problem in effective.problems + effective.missing()}
    found = []
    for path, name, read in _files(effective.settings):
        try:
            if name and path not in others:
                read(name)
        except ValueError as error:
            found.append(Problem(effective.source(path), path, f'found "{name}", expected {error}'))
    if cluster.is_on and not found and not any(key.startswith(("cluster.", "node.name")) for key in others):
        try:
            mesh_keys(effective.settings)
        except KeysError as error:
            path = "cluster.node_keys" if cluster.node_keys else "cluster.key"
            found.append(Problem(effective.source(path), path, str(error)))
    return found


def _files(settings: Settings) -> list[tuple[str, str, Callable[[str], str]]]:
    """Path of the key, name of the file, what reads it."""
    cluster = settings.cluster
    return [
        ("admin.token_file", settings.admin.token_file, _token),
        ("cluster.key_file", cluster.key_file, _cluster_key),
        ("cluster.accepted_key_file", cluster.accepted_key_file, _cluster_key),
        ("cluster.secret_key_file", cluster.secret_key_file, _secret_key),
    ]


def _is_open(file: Path) -> bool:
    """Whether another user may read the file and enter its directory."""
    try:
        mode, around = file.stat().st_mode, file.absolute().parent.stat().st_mode
    except OSError:
        return False  # a problem, not a danger
    return any(mode & read and around & search for read, search in ((0o040, 0o010), (0o004, 0o001)))


def _cluster_key(name: str) -> str:
    text = _text(name).strip()
    if len(text) < SHARED_CHARACTERS_MIN or len(text.split("\n")) > 1:
        raise ValueError(f"a file of one line, at least {SHARED_CHARACTERS_MIN} characters: whimbrel keygen makes one")
    return text


def _token(name: str) -> str:
    text = _text(name).strip()
    if len(text) < SHARED_CHARACTERS_MIN or not text.isascii() or " " in text or not text.isprintable():
        raise ValueError(f"a file of one line, at least {SHARED_CHARACTERS_MIN} characters: whimbrel keygen makes one")
    return text


def _secret_key(name: str) -> str:
    try:
        return str(tomllib.loads(_text(name))["secret"])
    except (tomllib.TOMLDecodeError, KeyError):
        raise ValueError("a file with the two lines that whimbrel keygen --node-key prints") from None


def _text(name: str) -> str:
    try:
        return Path(name).read_bytes().decode()
    except OSError as error:
        raise ValueError(f"a file that can be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("a file of text") from None
