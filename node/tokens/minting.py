"""Makes a token that the configured authorizer `jwt` takes: to try a configuration, not to run one.

Not here: checking tokens (gateway/authorizers/jwt.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.link.jwt_options import Issuer, JwtOptionsError, read

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class MintingError(ValueError):
    """No token can be made; the message says why."""


class Wish(NamedTuple):
    """The content of the token."""

    subject: str
    ttl_s: float
    permissions: Mapping[str, Sequence[str]]
    """By `subscribe`, `publish` and `both`; empty: what the configuration says of those without."""
    claims: Mapping[str, object]
    issuer: str = ""
    """Which of several."""
    key_file: str = ""
    """A private key in PEM, where the configuration has no secret."""
    kid: str = ""


def mint(options: Mapping[str, object], wish: Wish) -> str:
    """Make it.

    Raises:
        MintingError: If that is not possible with this configuration.
    """
    try:
        known = read(dict(options))
    except JwtOptionsError as error:
        raise MintingError(f"authorizer: {error}") from error
    found = [one for one in known.issuers if wish.issuer in ("", one.issuer)]
    if len(found) != 1:
        names = ", ".join(repr(one.issuer) for one in known.issuers)
        raise MintingError(f"--issuer is to be one of {names}")
    issuer = found[0]
    now = int(time.time())
    claims: dict[str, object] = {known.name: wish.subject, "iat": now, "exp": now + int(wish.ttl_s)}
    if issuer.issuer:
        claims["iss"] = issuer.issuer
    if issuer.audience:
        claims["aud"] = issuer.audience
    if any(wish.permissions.values()):
        claims[known.claim] = {name: [*subjects] for name, subjects in wish.permissions.items() if subjects}
    claims |= wish.claims
    lacking = [name for name in known.require if name not in claims]
    if lacking:
        raise MintingError(f"the configuration requires claims that are not given: --claim {lacking[0]}=VALUE")
    key, algorithm = _key(issuer, wish)
    return jwt.encode(claims, key, algorithm, headers={"kid": wish.kid} if wish.kid else None)


def _key(issuer: Issuer, wish: Wish) -> tuple[Any, str]:
    try:
        if wish.key_file:
            return _private(issuer, Path(wish.key_file).read_bytes())
        if issuer.secret or issuer.secret_file:
            secret = issuer.secret.encode() or Path(issuer.secret_file).read_bytes().strip()
            return secret, next((one for one in issuer.algorithms if one.startswith("HS")), "HS256")
    except OSError as error:
        raise MintingError(str(error)) from error
    raise MintingError("the configuration has only public keys: --key FILE with the private one, in PEM")


def _private(issuer: Issuer, pem: bytes) -> tuple[Any, str]:
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MintingError(f"--key: not a private key in PEM without a password: {error}") from error
    match key:
        case RSAPrivateKey():
            return key, next((one for one in issuer.algorithms if one[:2] in ("RS", "PS")), "RS256")
        case EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return key, _CURVES[key.curve.name]
        case Ed25519PrivateKey():
            return key, "EdDSA"
    raise MintingError("--key: not an RSA, EC or Ed25519 key")
