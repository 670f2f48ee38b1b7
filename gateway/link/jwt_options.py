"""What the authorizer `jwt` is configured with: issuers, their keys, and who may do what.

The workers check tokens with it, the node fetches the keys that it names, and the command `token` makes tokens to fit.

Not here: keys themselves (gateway/authorizers/keys.py), checking tokens (gateway/authorizers/jwt.py).
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.link.hosts import is_loopback

KEY_SOURCES = ("secret", "secret_file", "pem", "pem_file", "jwks_file", "jwks_url")
Seconds = Annotated[float, Meta(ge=0)]


RSA_BITS_MIN = 2048


class JwtOptionsError(ValueError):
    """Something is wrong with the options; the message says what."""


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Subjects and patterns; in each `{claim}` stands for that claim of the token."""

    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    both: tuple[str, ...] = ()


class Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who makes tokens, and how they are known: exactly one source of keys."""

    issuer: str = ""
    """What `iss` must be. Empty, for a single issuer only: it is not looked at."""
    audience: str | tuple[str, ...] = ()
    """`aud` must have one of these. Empty: a token with `aud` is refused, as it is meant for another service."""
    algorithms: tuple[str, ...] = ()
    """Which are taken; empty: all that fit the key."""
    secret: str = ""
    """For HS256, HS384 and HS512: at least 32, 48 and 64 bytes."""
    secret_file: str = ""
    pem: str = ""
    """A public key: RSA, EC or Ed25519."""
    pem_file: str = ""
    jwks_file: str = ""
    """A JSON Web Key Set (RFC 7517)."""
    jwks_url: str = ""
    """Fetched by the node."""
    jwks_refresh_s: Annotated[float, Meta(ge=1)] = 300.0
    """How often it is fetched again; an unknown `kid` has it fetched at once, at most every few seconds."""


class JwtOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All keys of `[authorizer]` for `use = "jwt"`. Those of an issuer stand here if there is one."""

    issuers: tuple[Issuer, ...]
    leeway_s: Annotated[float, Meta(ge=0, le=300)] = 10.0
    """How far clocks may differ, for `exp`, `nbf` and `iat`."""
    require: tuple[str, ...] = ()
    """Claims that there must be besides `exp`."""
    name: str = "sub"
    """The claim that says who it is: for audit, limits and `revoke --subject`."""
    claim: str = "whimbrel"
    """The claim with the permissions: a map with lists `subscribe`, `publish` and `both`."""
    default: Rules = Rules()
    """What a token without that claim permits."""
    anonymous: Rules | None = None
    """What a client without a token may do; if it is not given, there is none without."""


_OF_ISSUER = frozenset(Issuer.__struct_fields__)


def read(options: dict[str, Any]) -> JwtOptions:
    """Take the options as they are configured.

    Raises:
        JwtOptionsError: If something is wrong with them.
    """
    given = {name: value for name, value in options.items() if name not in _OF_ISSUER}
    alone = {name: value for name, value in options.items() if name in _OF_ISSUER}
    if alone and "issuers" in given:
        raise JwtOptionsError(f"`{next(iter(alone))}` belongs into each of the `issuers` where there are such")
    try:
        found = msgspec.convert({"issuers": [alone], **given}, JwtOptions, strict=False)
    except msgspec.ValidationError as error:
        raise JwtOptionsError(str(error)) from error
    _check(found)
    return found


def keys_named(issuer: Issuer) -> str:
    """Where the keys come from, for messages: the option, its file or URL, and the issuer. Not the keys themselves."""
    source = next(name for name in KEY_SOURCES if getattr(issuer, name))
    where = f" {getattr(issuer, source)!r}" if source.endswith(("_file", "_url")) else ""
    return f"{source}{where} of {_named(issuer)}"


def is_for_signatures(key: object) -> bool:
    """Whether an entry of a JSON Web Key Set is, by its form, a public key for signatures (RFC 7518, 8037).

    A node keeps the set that it had until there is another such, so what looks like a key, and is none, must not pass.
    """
    if not isinstance(key, dict) or key.get("use", "sig") != "sig" or "d" in key:
        return False
    match key:
        case {"kty": "RSA", "n": str(modulus), "e": str()}:
            return len(modulus.rstrip("=")) * 6 >= RSA_BITS_MIN
        case {"kty": "EC", "crv": "P-256" | "P-384" | "P-521", "x": str(), "y": str()}:
            return True
        case {"kty": "OKP", "crv": "Ed25519", "x": str()}:
            return True
        case _:
            return False


def _check(options: JwtOptions) -> None:
    names = [one.issuer for one in options.issuers]
    if not names:
        raise JwtOptionsError("`issuers` is empty")
    if len(names) > 1 and ("" in names or len({*names}) < len(names)):
        raise JwtOptionsError("of several issuers each needs an `issuer` of its own")
    for one in options.issuers:
        sources = [name for name in KEY_SOURCES if getattr(one, name)]
        if len(sources) != 1:
            found = " and ".join(sources) or "none"
            raise JwtOptionsError(f"{_named(one)} needs one of {', '.join(KEY_SOURCES)}, and has {found}")
        path = one.secret_file or one.pem_file or one.jwks_file
        if path and not path.startswith("/"):
            raise JwtOptionsError(f"{sources[0]} of {_named(one)} is to be a whole path, not {path!r}")
        if one.jwks_url:
            _check_url(one)


def _check_url(issuer: Issuer) -> None:
    """Keys must be fetched securely: who can change them on the way can sign tokens."""
    try:
        url = urlsplit(issuer.jwks_url)
        host = url.hostname or ""
    except ValueError as error:
        raise JwtOptionsError(f"jwks_url of {_named(issuer)}: {error}") from error
    if url.scheme == "https" and host:
        return
    if url.scheme == "http" and is_loopback(host):
        return
    raise JwtOptionsError(f"jwks_url of {_named(issuer)} is to begin with https: (http: only of this machine)")


def _named(issuer: Issuer) -> str:
    return f"the issuer {issuer.issuer!r}" if issuer.issuer else "the issuer"
