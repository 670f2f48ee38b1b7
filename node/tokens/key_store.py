"""Key sets on disk, so that a node that starts while their server is away can check tokens.

Not here: which there are (key_sets.py), revocations (store.py).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

AGE_MAX_S = 86400.0
"""Older keys are not used: what an issuer has withdrawn since is not known."""
_FOLDER = "keys"


class KeptKeys(NamedTuple):
    """A key set as it was fetched before."""

    url: str
    jwks: bytes
    age_s: float


class _File(msgspec.Struct):
    url: str
    fetched_at: float
    """Seconds since 1970."""
    jwks: bytes


class KeyStore:
    """One file for each URL, in a directory that is made when there is something to keep."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / _FOLDER

    def load(self, urls: Iterable[str]) -> Iterator[KeptKeys]:
        """Those of these URLs that are not too old; what cannot be read is fetched."""
        now = time.time()
        for url in urls:
            try:
                kept = msgspec.json.decode(self._path(url).read_bytes(), type=_File)
            except (OSError, msgspec.MsgspecError):
                continue
            age_s = now - kept.fetched_at
            if kept.url == url and 0 <= age_s <= AGE_MAX_S:
                yield KeptKeys(url, kept.jwks, age_s)

    def save(self, url: str, jwks: bytes) -> None:
        """Keep it.

        Raises:
            OSError: If that is not possible; what was kept before still is.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(url)
        fresh = path.with_suffix(".new")
        with open(fresh, "wb", opener=_private) as file:
            file.write(msgspec.json.encode(_File(url, time.time(), jwks)))
        os.replace(fresh, path)

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
