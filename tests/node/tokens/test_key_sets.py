"""Key sets of a node: when they are fetched, what is kept, who is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.link.events import IssuerKeys
from node.effects import Effects, FetchKeys, LogLine, SaveKeys, ToWorker
from node.tokens.key_sets import PAUSE_S, RETRY_MAX_S, KeySets

URL = "https://id.example/keys"
EC = {"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"}
RSA = {"kty": "RSA", "n": "A" * 342, "e": "AQAB"}


def jwks(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


FIRST, SECOND = jwks({"kid": "1", **EC}), jwks({"kid": "2", "use": "sig", **RSA})
SECRETS = jwks({"kty": "oct", "k": "AAAA"}, {**RSA, "use": "enc"}, 7)
UNUSABLE = [
    {"kty": "RSA"},
    {**RSA, "n": 5},
    {**RSA, "n": "A" * 171},  # of 1024 bits
    {**RSA, "d": "AQAB"},  # private
    {**EC, "crv": "secp256k1"},
    {**EC, "crv": {}},
    {"kty": "EC", "crv": "P-256", "x": "eA"},
    {"kty": "OKP", "crv": "X25519", "x": "eA"},
    {"kty": "OKP", "crv": "Ed25519"},
    {"kty": []},
    None,
]


class Harness:
    def __init__(self) -> None:
        self.effects = Effects()
        self.sets = KeySets({URL: 300.0}, self.effects)

    def take(self) -> list[Any]:
        """What is done but for lines of the log."""
        return [effect for effect in self.effects.take() if not isinstance(effect, LogLine | SaveKeys)]

    def fetched(self, now: float, jwks: bytes = b"", error: str = "", workers: tuple[int, ...] = (1, 2)) -> list[Any]:
        self.sets.fetched(now, URL, jwks, error, workers)
        return self.take()

    def tick(self, now: float) -> bool:
        """Whether it is fetched then."""
        self.sets.tick(now)
        return self.take() == [FetchKeys(URL)]


def told(jwks: bytes, *workers: int) -> list[Any]:
    return [ToWorker(worker, IssuerKeys(URL, jwks)) for worker in workers]


def test_they_are_fetched_at_once_and_again_in_time_and_told_when_they_change() -> None:
    one = Harness()
    one.sets.joined(1)
    assert one.take() == []
    assert one.tick(0.0)
    assert not one.tick(1.0)  # it is under way
    assert one.fetched(1.0, FIRST) == told(FIRST, 1, 2)
    one.sets.joined(3)
    assert one.take() == told(FIRST, 3)
    assert not one.tick(300.0)
    assert one.tick(301.0)
    assert one.fetched(301.0, FIRST) == []
    assert one.tick(601.0)
    assert one.fetched(601.0, SECOND) == told(SECOND, 1, 2)


@pytest.mark.parametrize("key", UNUSABLE, ids=repr)
def test_what_only_looks_like_keys_does_not_replace_those_that_were_had(key: Any) -> None:
    """A worker that starts afterwards would have none, and nobody could come in."""
    one = Harness()
    one.tick(0.0)
    one.fetched(0.0, FIRST)
    assert one.fetched(300.0, jwks(key)) == []
    assert "none of the 1 keys" in one.sets.problems()[0]
    one.sets.joined(9)
    assert one.take() == told(FIRST, 9)


def test_a_server_that_is_away_is_asked_again_and_what_was_had_is_kept() -> None:
    one = Harness()
    now = 0.0
    assert one.tick(now)
    assert one.fetched(now, error="refused") == []
    assert "no token" in one.sets.problems()[0]
    pauses = []
    for _ in range(8):
        began = now
        while not one.tick(now):
            now += 0.5
        pauses.append(now - began)
        one.fetched(now, error="refused")
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, RETRY_MAX_S)
    assert one.tick(now + RETRY_MAX_S)
    assert one.fetched(now, FIRST) == told(FIRST, 1, 2)
    assert one.sets.problems() == []
    for nothing in (b"", b"<html>", b"{}", b'{"keys":[]}', b'{"keys":7}', b"[" * 100_000, SECRETS):
        now += 400.0
        assert one.tick(now)
        assert one.fetched(now, nothing) == []
        assert "fetched before" in one.sets.problems()[0]
        assert ("none of the 3 keys" in one.sets.problems()[0]) == (nothing == SECRETS)
        one.sets.joined(9)
        assert one.take() == told(FIRST, 9)


def test_an_unknown_key_has_them_fetched_once_however_many_ask() -> None:
    one = Harness()
    one.tick(0.0)
    one.fetched(0.0, FIRST)
    one.sets.wanted(1.0, 1, URL)
    assert one.take() == told(FIRST, 1)  # fetched a moment ago
    for worker in (1, 1, 2):
        one.sets.wanted(PAUSE_S, worker, URL)
    assert one.take() == [FetchKeys(URL)]
    assert one.fetched(PAUSE_S, FIRST) == told(FIRST, 1, 2)
    one.sets.wanted(2 * PAUSE_S, 1, URL)
    one.sets.gone(1)
    assert one.take() == [FetchKeys(URL)]
    assert one.fetched(2 * PAUSE_S, error="away") == []
    one.sets.wanted(0.0, 1, "https://elsewhere.example/")
    assert one.take() == []


def test_what_was_kept_on_disk_is_used_until_it_can_be_fetched() -> None:
    one = Harness()
    one.sets.loaded(URL, FIRST, 7200.0)
    one.sets.loaded("https://other.example/", FIRST, 1.0)
    one.sets.joined(1)
    assert one.take() == told(FIRST, 1)
    assert one.tick(0.0)
    assert one.fetched(0.0, error="refused") == []
    assert "kept on disk are used, 2.0 h old" in one.sets.problems()[0]
    assert one.tick(2.0)
    one.sets.fetched(2.0, URL, SECOND, "", (1,))
    effects = one.effects.take()
    assert SaveKeys(URL, SECOND) in effects
    assert ToWorker(1, IssuerKeys(URL, SECOND)) in effects
    assert one.sets.problems() == []
    one.sets.loaded(URL, FIRST, 1.0)
    one.sets.joined(2)
    assert one.take() == told(SECOND, 2)


def test_rubbish_on_disk_is_not_used() -> None:
    one = Harness()
    one.sets.loaded(URL, b"{", 1.0)
    one.sets.joined(1)
    assert one.take() == []
