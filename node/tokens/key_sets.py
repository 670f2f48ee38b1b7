"""Keys of those who issue tokens: fetched by the node, kept, fetched again in time, and told to the workers.

Invariants:
- a set that was had once is kept until there is another, however long its server is away;
- however many tokens name keys that nobody knows, a URL is fetched once in PAUSE_S.

Not here: fetching (fetch.py), tokens (gateway/authorizers/jwt.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gateway.link.events import IssuerKeys
from gateway.link.jwt_options import is_for_signatures
from node.effects import WARNING, Effects, FetchKeys, SaveKeys
from node.interest import WorkerId

PAUSE_S = 5.0
RETRY_MIN_S = 1.0
RETRY_MAX_S = 30.0


class _Set:
    __slots__ = ("age_s", "error", "failures", "is_fetching", "jwks", "next_at", "refresh_s", "started_at", "waiting")

    def __init__(self, refresh_s: float) -> None:
        self.refresh_s = refresh_s
        self.jwks = b""
        self.age_s: float | None = None
        """How old it was at the start, where it is still that of before."""
        self.error = ""
        self.failures = 0
        self.is_fetching = False
        self.next_at: float | None = None
        """When to fetch it; None: at the next tick."""
        self.started_at: float | None = None
        self.waiting: dict[WorkerId, None] = {}


class KeySets:
    """All key sets that are fetched."""

    def __init__(self, urls: Mapping[str, float], effects: Effects) -> None:
        """Begin without any.

        Args:
            urls: Each with how often it is fetched again, in seconds.
        """
        self._effects = effects
        self._sets = {url: _Set(refresh_s) for url, refresh_s in urls.items()}

    def loaded(self, url: str, jwks: bytes, age_s: float) -> None:
        """Use a key set that was fetched before this start of the node, until it can be fetched again."""
        one = self._sets.get(url)
        if one is not None and not one.jwks and not _why_not(jwks):
            one.jwks, one.age_s = jwks, age_s

    def joined(self, worker: WorkerId) -> None:
        """Tell a new worker what there is."""
        for url, one in self._sets.items():
            if one.jwks:
                self._effects.to_worker(worker, IssuerKeys(url, one.jwks))

    def gone(self, worker: WorkerId) -> None:
        """A worker has ended."""
        for one in self._sets.values():
            one.waiting.pop(worker, None)

    def wanted(self, now: float, worker: WorkerId, url: str) -> None:
        """A token was signed with a key that the worker does not know."""
        one = self._sets.get(url)
        if one is None:
            return
        if one.is_fetching or one.started_at is None or now >= one.started_at + PAUSE_S:
            one.waiting[worker] = None
            self._fetch(now, url, one)
        else:
            self._effects.to_worker(worker, IssuerKeys(url, one.jwks))

    def fetched(self, now: float, url: str, jwks: bytes, error: str, workers: Iterable[WorkerId]) -> None:
        """Answers `FetchKeys`.

        Args:
            jwks: What was found; nothing if there is an error.
            workers: All that there are.
        """
        one = self._sets[url]
        one.is_fetching = False
        error = error or _why_not(jwks)
        if error:
            if not one.error:
                self._effects.log("keys_not_fetched", WARNING, url=url, error=error, keeps=bool(one.jwks))
            one.failures += 1
            one.next_at = now + min(RETRY_MIN_S * 2 ** min(one.failures - 1, 10), RETRY_MAX_S)
        else:
            if one.error or not one.jwks or one.age_s is not None:
                self._effects.log("keys_fetched", url=url)
            one.failures, one.age_s = 0, None
            self._effects.add(SaveKeys(url, jwks))
            one.next_at = now + one.refresh_s
        one.error = error
        waiting, one.waiting = one.waiting, {}
        if not error and jwks != one.jwks:
            one.jwks = jwks
            waiting = dict.fromkeys(workers)
        for worker in waiting:
            self._effects.to_worker(worker, IssuerKeys(url, one.jwks))

    def tick(self, now: float) -> None:
        """Fetch what is due."""
        for url, one in self._sets.items():
            if one.next_at is None or now >= one.next_at:
                self._fetch(now, url, one)

    def problems(self) -> list[str]:
        """Which could not be fetched, and why."""
        return [
            f"the keys of {url} cannot be fetched ({one.error}): " + _kept(one)
            for url, one in self._sets.items()
            if one.error
        ]

    def _fetch(self, now: float, url: str, one: _Set) -> None:
        if not one.is_fetching:
            one.is_fetching = True
            one.started_at = now
            self._effects.add(FetchKeys(url))


def _why_not(jwks: bytes) -> str:
    """Why this is not a key set; empty if it is one."""
    try:
        keys = msgspec.json.decode(jwks, type=dict[str, object]).get("keys")
    except (msgspec.DecodeError, RecursionError):
        return "what it answers is not JSON"
    if not isinstance(keys, list) or not keys:
        return "what it answers is not a JSON Web Key Set"
    if not any(map(is_for_signatures, keys)):
        return f"none of the {len(keys)} keys that it answers is a public key for signatures"
    return ""


def _kept(one: _Set) -> str:
    """What tokens are checked with."""
    if not one.jwks:
        return "no token of this issuer can be checked"
    if one.age_s is None:
        return "those fetched before are used"
    return f"those kept on disk are used, {one.age_s / 3600:.1f} h old when this node was started"
