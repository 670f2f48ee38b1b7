"""Keys that tokens are checked with, and for which algorithms each is good.

Invariant: an algorithm is taken only with a key of its own kind, whatever a token says: no public key ever becomes the
secret of an HMAC.

Not here: tokens (jwt.py), fetching keys (node/tokens/).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWTError

from gateway.link.jwt_options import RSA_BITS_MIN, Issuer, is_for_signatures

_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least that a secret has for each: as many as the hash (RFC 7518, section 3.2)."""
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class BadKeys(ValueError):
    """Keys that cannot be used; the message says why."""


class VerifyingKey(NamedTuple):
    """A key, and the algorithms that it may be used with."""

    key: Any
    algorithms: tuple[str, ...]


class KeySet:
    """The keys of an issuer, some of them by `kid`."""

    def __init__(self, keys: Mapping[str, VerifyingKey], unnamed: tuple[VerifyingKey, ...] = ()) -> None:
        self._keys = dict(keys)
        self._unnamed = unnamed

    def __len__(self) -> int:
        return len(self._keys) + len(self._unnamed)

    def has(self, kid: str) -> bool:
        """Whether there is a key of this name."""
        return kid in self._keys

    def find(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """The key for a token; one that names none gets the only one that fits."""
        if kid is not None and kid in self._keys:
            found = self._keys[kid]
            return found if algorithm in found.algorithms else None
        candidates = [*self._unnamed, *(self._keys.values() if kid is None else ())]
        fitting = [key for key in candidates if algorithm in key.algorithms]
        return fitting[0] if len(fitting) == 1 else None


def of_issuer(issuer: Issuer) -> KeySet | None:
    """The keys that the configuration gives; None: they are to be fetched.

    Raises:
        BadKeys: If they cannot be used.
        OSError: If a file cannot be read.
    """
    if issuer.jwks_url:
        return None
    if issuer.jwks_file:
        return of_jwks(Path(issuer.jwks_file).read_bytes(), issuer.algorithms)
    if issuer.pem or issuer.pem_file:
        pem = issuer.pem.encode() or Path(issuer.pem_file).read_bytes()
        return KeySet({}, (_public(_read_pem(pem), issuer.algorithms),))
    secret = issuer.secret.encode() or Path(issuer.secret_file).read_bytes().strip()
    if secret.startswith(b"-----BEGIN"):
        raise BadKeys("what is given as a secret is a PEM: say pem or pem_file")
    return KeySet({}, (_secret(secret, issuer.algorithms),))


def of_jwks(content: bytes, algorithms: tuple[str, ...] = ()) -> KeySet:
    """The public keys for signatures in a JSON Web Key Set; what is something else, or not understood, is left out.

    Raises:
        BadKeys: If there are none.
    """
    try:
        entries = msgspec.json.decode(content)["keys"]
        assert isinstance(entries, list)
    except (msgspec.DecodeError, KeyError, TypeError, AssertionError, RecursionError) as error:
        raise BadKeys("not a JSON Web Key Set: a JSON map with a list `keys`") from error
    named: dict[str, VerifyingKey] = {}
    unnamed: list[VerifyingKey] = []
    for entry in entries:
        key = _of_jwk(entry, algorithms)
        if key is None:
            continue
        kid = entry.get("kid")
        if isinstance(kid, str):
            named[kid] = key
        else:
            unnamed.append(key)
    if not named and not unnamed:
        raise BadKeys(f"none of the {len(entries)} keys is a public key for signatures")
    return KeySet(named, tuple(unnamed))


def _of_jwk(entry: Any, algorithms: tuple[str, ...]) -> VerifyingKey | None:
    if not is_for_signatures(entry):
        return None
    try:
        key = _public(PyJWK({**entry, "alg": entry.get("alg") or _any_algorithm(entry)}).key, algorithms)
    except (PyJWTError, BadKeys, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return None
    alg = entry.get("alg")
    return key if alg is None else VerifyingKey(key.key, tuple(one for one in key.algorithms if one == alg))


def _any_algorithm(entry: dict[str, Any]) -> str:
    """One with which the library takes the key; which are allowed follows from the key itself."""
    curves = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
    return "RS256" if entry["kty"] == "RSA" else curves[entry["crv"]]


def _read_pem(pem: bytes) -> Any:
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKeys(f"not a public key in PEM: {error}") from error


def _secret(secret: bytes, algorithms: tuple[str, ...]) -> VerifyingKey:
    """A secret with the algorithms for which it is long enough."""
    for name in algorithms or ("HS256",):
        if len(secret) < _SECRET_BYTES.get(name, 0):
            raise BadKeys(f"a secret for {name} has at least {_SECRET_BYTES[name]} bytes, not {len(secret)}")
    fitting = tuple(name for name, least in _SECRET_BYTES.items() if len(secret) >= least)
    return VerifyingKey(secret, _narrowed(fitting, algorithms))


def _public(key: Any, algorithms: tuple[str, ...]) -> VerifyingKey:
    """A public key with the algorithms that belong to it."""
    match key:
        case RSAPublicKey():
            if key.key_size < RSA_BITS_MIN:
                raise BadKeys(f"an RSA key has at least {RSA_BITS_MIN} bits, not {key.key_size}")
            fitting: tuple[str, ...] = _RSA
        case EllipticCurvePublicKey() if key.curve.name in _CURVES:
            fitting = (_CURVES[key.curve.name],)
        case Ed25519PublicKey():
            fitting = ("EdDSA",)
        case _:
            raise BadKeys(f"a key of a kind that is not used for tokens: {type(key).__name__}")
    return VerifyingKey(key, _narrowed(fitting, algorithms))


def _narrowed(fitting: tuple[str, ...], algorithms: tuple[str, ...]) -> tuple[str, ...]:
    if not algorithms:
        return fitting
    found = tuple(one for one in fitting if one in algorithms)
    if not found:
        raise BadKeys(f"none of the algorithms {', '.join(algorithms)} fits the key ({', '.join(fitting)})")
    return found
