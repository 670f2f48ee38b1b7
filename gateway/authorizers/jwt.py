"""The authorizer `jwt`: who a client is, what it may do and how long, is in a token that an issuer has signed.

Every rule that a token breaks is a refusal that names the rule. What is configured is in gateway/link/jwt_options.py.

Not here: keys (keys.py), permissions (permissions.py), revocation (gateway/sessions/revoked.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import jwt
import msgspec

from gateway.authorizers.keyed import KeyedAuthorizer
from gateway.authorizers.keys import BadKeys, KeySet, VerifyingKey, of_issuer, of_jwks
from gateway.authorizers.later import KeysWanted
from gateway.authorizers.permissions import BadPermission, Permissions, check_rules, filled
from gateway.authorizers.token_size import check_size
from gateway.link import codes
from gateway.link.jwt_options import Issuer, JwtOptionsError, Rules, keys_named, read
from whimbrel_server import Connection, Identity, Refusal

_TIMES = ("exp", "nbf", "iat")


class TokenIdentity(Identity):
    """An identity with permissions."""

    __slots__ = ("permissions",)

    def __init__(self, permissions: Permissions, name: str = "", **known: Any) -> None:
        super().__init__(name, **known)
        self.permissions = permissions


class Jwt(KeyedAuthorizer):
    """Asked at once: a signature takes 0.05 to 0.2 ms, and keys are fetched by the node."""

    blocks = False

    def __init__(self, **options: Any) -> None:
        self._options = read(options)
        self._by_name = {issuer.issuer: issuer for issuer in self._options.issuers}
        self._alone = self._options.issuers[0] if self._options.issuers[0].issuer == "" else None
        self._keys: dict[str, KeySet | None] = {}
        """By issuer; None: not fetched yet."""
        for issuer in self._options.issuers:
            try:
                self._keys[issuer.issuer] = of_issuer(issuer)
            except (BadKeys, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise JwtOptionsError(f"{keys_named(issuer)}: {reason}") from error
        for rules in filter(None, (self._options.default, self._options.anonymous)):
            check_rules(rules)
        anonymous = self._options.anonymous
        self._anonymous = None if anonymous is None else TokenIdentity(filled(anonymous, {}))

    def keys_fetched(self, url: str, jwks: bytes) -> str:
        why = ""
        for issuer in self._options.issuers:
            if jwks and issuer.jwks_url == url:
                try:
                    self._keys[issuer.issuer] = of_jwks(jwks, issuer.algorithms)
                except BadKeys as error:
                    why = str(error)
        return why

    def connect(self, connection: Connection) -> Identity:
        token = connection.token
        if token is None:
            if self._anonymous is None:
                raise Refusal("a token is needed", codes.TOKEN_INVALID)
            return self._anonymous
        check_size(token)
        try:
            return self._identity(token)
        except (Refusal, KeysWanted):
            raise
        except jwt.ExpiredSignatureError:
            raise Refusal("the token has expired", codes.TOKEN_EXPIRED) from None
        except (jwt.PyJWTError, BadPermission) as error:
            _invalid(str(error))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError) as error:
            # A library that was written for tokens of friends meets everything here.
            _invalid(type(error).__name__)

    def subscribe(self, identity: Identity, subject: str) -> None:
        assert isinstance(identity, TokenIdentity)
        if not identity.permissions.may_subscribe(subject):
            raise Refusal("the token does not allow subscribing to it")

    def publish(self, identity: Identity, subject: str) -> None:
        assert isinstance(identity, TokenIdentity)
        if not identity.permissions.may_publish(subject):
            raise Refusal("the token does not allow publishing to it")

    # Private.

    def _identity(self, token: str) -> Identity:
        try:
            unchecked = jwt.decode_complete(token, options={"verify_signature": False})
        except jwt.DecodeError as error:
            _invalid(f"not a JSON Web Token: {error}")
        issuer = self._issuer(unchecked["payload"].get("iss"))
        key = self._key(issuer, unchecked["header"])
        options = self._options
        claims = jwt.decode(
            token,
            key.key,
            algorithms=list(key.algorithms),
            audience=issuer.audience or None,
            issuer=issuer.issuer or None,
            leeway=options.leeway_s,
            options={"require": ["exp", *options.require]},
        )
        for name in _TIMES:
            _check_time(claims, name)
        return TokenIdentity(
            self._permissions(claims),
            _text(claims, options.name) or "",
            expires_at=float(claims["exp"]),
            issued_at=float(claims["iat"]) if "iat" in claims else None,
            token_id=_text(claims, "jti"),
        )

    def _issuer(self, name: object) -> Issuer:
        found = self._alone or (self._by_name.get(name) if isinstance(name, str) else None)
        return found or _invalid("no issuer that is known here (iss)")

    def _key(self, issuer: Issuer, header: Mapping[str, object]) -> VerifyingKey:
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm.lower() == "none":
            _invalid("not signed (alg)")
        if kid is not None and not isinstance(kid, str):
            _invalid("kid is not text")
        keys = self._keys[issuer.issuer]
        key = keys.find(kid, algorithm) if keys is not None else None
        if key is not None:
            return key
        if keys is None:
            raise KeysWanted(issuer.jwks_url, codes.INTERNAL, "the issuer's keys cannot be had just now")
        which = "no kid" if kid is None else f"kid {kid[:40]!r}"
        reason = f"no key of the issuer's for alg {algorithm[:20]!r} and {which}"
        if issuer.jwks_url and not (kid is not None and keys.has(kid)):
            raise KeysWanted(issuer.jwks_url, codes.TOKEN_INVALID, f"token: {reason}")
        return _invalid(reason)

    def _permissions(self, claims: Mapping[str, object]) -> Permissions:
        claim = self._options.claim
        if claim not in claims:
            return filled(self._options.default, claims)
        try:
            rules = msgspec.convert(claims[claim], Rules)
        except msgspec.ValidationError as error:
            _invalid(f"the claim {claim!r}: {error}")
        return filled(rules, claims)


def _invalid(reason: str) -> NoReturn:
    raise Refusal(f"token: {reason}", codes.TOKEN_INVALID)


def _check_time(claims: Mapping[str, object], name: str) -> None:
    """RFC 7519 section 2: a number; the library takes text for one, too."""
    time = claims.get(name, 0)
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        _invalid(f"{name} is not a number")


def _text(claims: Mapping[str, object], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not (isinstance(value, str) and _is_unicode(value)):
        _invalid(f"{name} is not text")
    return value


def _is_unicode(text: str) -> bool:
    """JSON may have half of a character, which cannot be written anywhere."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
