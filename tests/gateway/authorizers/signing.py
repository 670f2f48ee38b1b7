"""Keys of an issuer, its tokens, and its key sets."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.authorizers.jwt import Jwt
from whimbrel_server import Connection, Identity, Refusal

SECRET = "s" * 40
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    """The public half, as PEM."""
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def token(claims: dict[str, Any] | None = None, key: Any = SECRET, alg: str = "HS256", **headers: Any) -> str:
    """A token of alice's for five minutes; a claim that is None is left out."""
    now = int(time.time())
    given = {"sub": "alice", "iat": now, "exp": now + 300} | (claims or {})
    wanted = {name: value for name, value in given.items() if value is not None}
    if alg in ("HS256", "none") or isinstance(key, bytes):
        return by_hand({"alg": alg, "typ": "JWT"} | headers, wanted, key if alg == "HS256" else None)
    return jwt.encode(wanted, key, alg, headers=headers)


def by_hand(header: Any, claims: Any, secret: str | bytes | None) -> str:
    """A token that no library would make."""

    def part(value: Any) -> bytes:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=")

    signed = part(header) + b"." + part(claims)
    secret = secret.encode() if isinstance(secret, str) else secret
    signature = hmac.digest(secret, signed, "sha256") if secret else b""
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def jwks(**keys: Any) -> bytes:
    """The public halves as a key set, by `kid`."""
    entries = []
    for kid, key in keys.items():
        algorithm: Any = jwt.algorithms.OKPAlgorithm
        if isinstance(key, rsa.RSAPrivateKey):
            algorithm = jwt.algorithms.RSAAlgorithm
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            algorithm = jwt.algorithms.ECAlgorithm
        entries.append({**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"})
    return json.dumps({"keys": entries}).encode()


def connect(authorizer: Jwt, text: str | None) -> Identity:
    """Who this token says that it is."""
    return authorizer.connect(Connection("1.2.3.4:5", token=text))


def refusal(authorizer: Jwt, text: str | None) -> tuple[int, str]:
    """Code and reason with which a token is refused."""
    try:
        identity = connect(authorizer, text)
    except Refusal as refused:
        return refused.code, refused.reason
    raise AssertionError(f"{identity.name!r} is let in")
