"""The authorizer `jwt`: each rule, and what each breach of one is answered with."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
import warnings
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.authorizers.jwt import Jwt
from gateway.authorizers.later import KeysWanted
from gateway.authorizers.token_size import TOKEN_BYTES_MAX
from gateway.link.plugins import LoadError
from gateway.sessions.loading import load
from tests.gateway.authorizers.signing import EC, ED, RSA, SECRET, by_hand, connect, jwks, pem, refusal, token
from whimbrel_server import Identity, Refusal

NOW = int(time.time())
"""When the tests were collected: they may run much later."""
LATER = NOW + 1_000_000
URL = "https://id.example/keys"


def allowed(authorizer: Jwt, identity: Identity, what: str, *subjects: str) -> list[str]:
    """Those subjects that may be subscribed or published to."""
    found = []
    for subject in subjects:
        try:
            getattr(authorizer, what)(identity, subject)
            found.append(subject)
        except Refusal:
            continue
    return found


@pytest.mark.parametrize(
    ("source", "content", "told"),
    [
        ("pem_file", "hello", "not a public key in PEM"),
        ("jwks_file", "hello", "not a JSON Web Key Set"),
        ("secret_file", "short", "a secret for HS256 has at least 32 bytes"),
        ("jwks_file", None, "No such file"),
    ],
)
def test_keys_that_cannot_be_used_are_named_by_option_and_file(
    source: str, content: str | None, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    with pytest.raises(LoadError) as caught:
        load("jwt", {source: str(file), "issuer": "me"})
    assert f"{source} {str(file)!r} of the issuer 'me': {told}" in str(caught.value)


def test_a_secret_that_cannot_be_used_is_not_shown() -> None:
    with pytest.raises(LoadError, match=r"secret of the issuer: a secret .* 32 bytes, not 7") as caught:
        load("jwt", {"secret": "letmein"})
    assert "letmein" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "taken"), [(32, ["HS256"]), (48, ["HS256", "HS384"]), (64, ["HS256", "HS384", "HS512"])]
)
def test_a_secret_is_for_the_algorithms_for_which_it_is_long_enough(size: int, taken: list[str]) -> None:
    secret = "s" * size
    one, found = Jwt(secret=secret), []
    with warnings.catch_warnings(action="ignore"):  # that the token is signed with too short a secret, where it is
        tokens = {alg: jwt.encode({"sub": "alice", "exp": LATER}, secret, alg) for alg in ("HS256", "HS384", "HS512")}
        for alg, each in tokens.items():
            with contextlib.suppress(Refusal):
                found += [alg] if connect(one, each) else []
    assert found == taken


def test_what_is_no_token_at_all_is_said_to_be_none() -> None:
    for text in ("rubbish", "", "a.b.c"):
        code, reason = refusal(Jwt(secret=SECRET), text)
        assert (code, "not a JSON Web Token" in reason) == (4201, True), reason


def test_who_a_token_says_that_it_is() -> None:
    identity = connect(Jwt(secret=SECRET), token({"jti": "t1"}))
    assert (identity.name, identity.token_id) == ("alice", "t1")
    assert identity.expires_at is not None
    assert identity.issued_at is not None
    assert identity.expires_at - identity.issued_at == 300
    named = Jwt(secret=SECRET, name="email")
    assert connect(named, token({"email": "a@b"})).name == "a@b"


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [(RSA, ["RS256", "RS384", "RS512", "PS256"]), (EC, ["ES256"]), (ED, ["EdDSA"])],
    ids=["rsa", "ec", "ed"],
)
def test_public_keys(key: Any, algorithms: list[str], tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(pem(key))
    (tmp_path / "keys.json").write_bytes(jwks(one=key, other=EC))
    for alg in algorithms:
        for options in ({"pem": pem(key)}, {"pem_file": str(tmp_path / "key.pem")}):
            assert connect(Jwt(**options), token(key=key, alg=alg)).name == "alice"
        assert connect(Jwt(jwks_file=str(tmp_path / "keys.json")), token(key=key, alg=alg, kid="one")).name == "alice"
    narrow = Jwt(pem=pem(key), algorithms=algorithms[:1])
    for alg in algorithms[1:]:
        assert refusal(narrow, token(key=key, alg=alg))[0] == 4201


@pytest.mark.parametrize(
    ("claims", "code", "why"),
    [
        ({"exp": NOW - 60}, 4200, "the token has expired"),
        ({"exp": None}, 4201, "exp"),
        ({"exp": "soon"}, 4201, "exp"),
        ({"exp": str(LATER)}, 4201, "exp is not a number"),
        ({"exp": True}, 4200, ""),
        ({"exp": [NOW]}, 4201, ""),
        ({"exp": float("inf")}, 4201, ""),
        ({"exp": float("nan")}, 4201, ""),
        ({"exp": {}}, 4201, ""),
        ({"nbf": LATER}, 4201, "not yet valid"),
        ({"nbf": "0"}, 4201, "nbf is not a number"),
        ({"iat": LATER}, 4201, "not yet valid"),
        ({"iat": "yesterday"}, 4201, ""),
        ({"iss": "https://other.example"}, 4201, "no issuer that is known here"),
        ({"iss": None}, 4201, "no issuer that is known here"),
        ({"iss": ["https://id.example"]}, 4201, "no issuer that is known here"),
        ({"aud": "somebody else"}, 4201, "udience"),
        ({"aud": None}, 4201, "aud"),
        ({"aud": 7}, 4201, "claim format"),
        ({"aud": ["x", 7]}, 4201, "claim format"),
        ({"sub": 7}, 4201, "ubject"),
        ({"sub": ["alice"]}, 4201, "ubject"),
        ({"jti": 7}, 4201, ""),
        ({"tenant": None}, 4201, "tenant"),
        ({"whimbrel": "*"}, 4201, "the claim 'whimbrel'"),
        ({"whimbrel": ["/orders/*"]}, 4201, "the claim 'whimbrel'"),
        ({"whimbrel": None, "tenant": "x/../y"}, 4201, "has a slash"),
        ({"whimbrel": None, "tenant": ""}, 4201, "is empty"),
        ({"whimbrel": None, "tenant": ["a"]}, 4201, "neither text nor a whole number"),
        ({"whimbrel": None, "tenant": True}, 4201, "neither text nor a whole number"),
        ({"whimbrel": {"subscribe": "/orders/*"}}, 4201, "$.subscribe"),
        ({"whimbrel": {"subscribe": [7]}}, 4201, "$.subscribe[0]"),
        ({"whimbrel": {"read": ["/orders/*"]}}, 4201, "read"),
        ({"whimbrel": {"subscribe": ["orders"]}}, 4201, "begins with `/`"),
        ({"whimbrel": {"subscribe": ["/../*"]}}, 4201, "'/../*'"),
        ({"whimbrel": {"subscribe": ["/orders/a*"]}}, 4201, "%2A"),
        ({"whimbrel": {"subscribe": ["/orders/%2a"]}}, 4201, "one right form"),
        ({"whimbrel": {"subscribe": ["/о/x"]}}, 4201, "a topic or namespace"),
        ({"whimbrel": {"subscribe": ["/t/x"] * 1001}}, 4201, "more than 1000"),
        ({"whimbrel": {"subscribe": ["/t/{missing}"]}}, 4201, "needs the claim 'missing'"),
    ],
)
def test_a_claim_that_is_not_right_is_refused_with_the_reason(claims: dict[str, Any], code: int, why: str) -> None:
    right = {"iss": "https://id.example", "aud": ["whimbrel", "x"], "tenant": "t", "whimbrel": {}}
    authorizer = Jwt(
        issuer="https://id.example",
        audience="whimbrel",
        secret=SECRET,
        require=["tenant"],
        default={"subscribe": ["/orders/{tenant}/*"]},
    )
    assert connect(authorizer, token(right)).name == "alice"
    found, reason = refusal(authorizer, token(right | claims))
    assert found == code
    assert why in reason


def test_clocks_may_differ_by_the_leeway() -> None:
    authorizer, now = Jwt(secret=SECRET, leeway_s=30), int(time.time())
    assert connect(authorizer, token({"exp": now - 5})).name == "alice"
    assert connect(authorizer, token({"nbf": now + 20})).name == "alice"
    assert refusal(authorizer, token({"exp": now - 60}))[0] == 4200


PUBLIC = pem(RSA)


@pytest.mark.parametrize(
    "text",
    [
        token(alg="none"),
        by_hand({"alg": "None"}, {"sub": "alice", "exp": LATER}, None),
        by_hand({"alg": "HS256"}, {"sub": "alice", "exp": LATER}, None),
        by_hand({"alg": ["HS256"]}, {"sub": "alice", "exp": LATER}, SECRET),
        by_hand({"typ": "JWT"}, {"sub": "alice", "exp": LATER}, SECRET),
        by_hand({"alg": "HS256"}, {"sub": "alice", "exp": LATER}, PUBLIC),  # the public key as a secret
        by_hand({"alg": "HS256", "kid": "one"}, {"sub": "alice", "exp": LATER}, PUBLIC.encode()),
        by_hand({"alg": "HS256", "kid": "../../../../dev/null"}, {"sub": "alice", "exp": LATER}, b"\0" * 32),
        by_hand({"alg": "HS256", "kid": 7}, {"sub": "alice", "exp": LATER}, SECRET),
        by_hand({"alg": "RS256", "kid": "/dev/null"}, {"sub": "alice", "exp": LATER}, SECRET),
        by_hand({"alg": "HS256", "crit": ["x"], "x": 1}, {"sub": "alice", "exp": LATER}, SECRET + "no"),
        token(key="w" * 40),
        token(key=EC, alg="ES256"),
        "", ".", "..", "a.b.c", "a.b", "ä.ö.ü", "e30.e30.", "\0", " ", "eyJ" * 100,
        token().rpartition(".")[0] + ".",
        token() + "A",
        token().replace(".", "", 1),
        by_hand(b"[]", b"{}", SECRET), by_hand(b"{", b"{}", SECRET), by_hand({"alg": "HS256"}, b"[]", SECRET),
        by_hand({"alg": "HS256"}, b"7", SECRET), by_hand({"alg": "HS256"}, b"\xff\xfe", SECRET),
        by_hand({"alg": "HS256"}, b"[" * 5000, SECRET), by_hand({"alg": "HS256"}, b'{"a":' * 1500, SECRET),
        by_hand({"alg": "HS256"}, b'{"exp":' + b"9" * 5000 + b"}", SECRET),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_a_token_that_the_issuer_has_not_signed_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(jwks(one=RSA))
    for options in ({"pem": PUBLIC}, {"secret": SECRET + "x"}, {"jwks_file": str(tmp_path / "keys")}):
        code, reason = refusal(Jwt(**options), text)
        assert code == 4201
        assert SECRET not in reason


def test_a_token_of_megabytes_is_not_even_looked_at() -> None:
    began = time.thread_time()
    for text in ("x" * 5_000_000, token({"x": "y" * TOKEN_BYTES_MAX}), "." * 5_000_000):
        assert refusal(Jwt(secret=SECRET), text) == (4201, f"token: longer than {TOKEN_BYTES_MAX} bytes")
    assert time.thread_time() - began < 1


def test_a_token_is_needed_unless_something_is_allowed_without() -> None:
    assert refusal(Jwt(secret=SECRET), None) == (4201, "a token is needed")
    authorizer = Jwt(secret=SECRET, anonymous={"subscribe": ["/public/*"]})
    anybody = connect(authorizer, None)
    assert (anybody.name, anybody.expires_at) == ("", None)
    assert allowed(authorizer, anybody, "subscribe", "/public/a", "/orders/a", "/public") == ["/public/a"]
    assert allowed(authorizer, anybody, "publish", "/public/a") == []
    assert refusal(authorizer, token(key="w" * 40))[0] == 4201


def test_what_a_token_permits() -> None:
    authorizer = Jwt(secret=SECRET, default={"subscribe": ["/mine/{sub}/*"]})
    mine = connect(authorizer, token())
    assert allowed(authorizer, mine, "subscribe", "/mine/alice/x", "/mine/alice/*", "/mine/*", "/mine/bob/x") == [
        "/mine/alice/x",
        "/mine/alice/*",
    ]
    said = {"subscribe": ["/a", "/b/x"], "publish": ["/c/*"], "both": ["/chat/{sub}"]}
    some = connect(authorizer, token({"whimbrel": said}))
    subjects = ["/a", "/a/x", "/b/x", "/b/x/y", "/b/*", "/c/x", "/c/*", "/chat/alice", "/chat/bob", "/mine/alice/x"]
    assert allowed(authorizer, some, "subscribe", *subjects) == ["/a", "/b/x", "/chat/alice"]
    assert allowed(authorizer, some, "publish", *subjects) == ["/c/x", "/c/*", "/chat/alice"]
    nothing = connect(authorizer, token({"whimbrel": {}}))
    assert allowed(authorizer, nothing, "subscribe", *subjects, "/mine/alice/x") == []
    everything = connect(authorizer, token({"whimbrel": {"both": ["/*"]}}))
    assert allowed(authorizer, everything, "publish", *subjects) == subjects


def test_several_issuers_have_their_own_keys() -> None:
    issuers = [{"issuer": "a", "secret": SECRET}, {"issuer": "b", "pem": pem(RSA), "audience": "w"}]
    authorizer = Jwt(issuers=issuers)
    assert connect(authorizer, token({"iss": "a"})).name == "alice"
    assert connect(authorizer, token({"iss": "b", "aud": "w"}, RSA, "RS256")).name == "alice"
    for text in (
        token({"iss": "b", "aud": "w"}),
        token({"iss": "a"}, RSA, "RS256"),
        token({"iss": "b"}, RSA, "RS256"),
        token({"iss": "c"}),
        token(),
    ):
        assert refusal(authorizer, text)[0] == 4201


def wanted(authorizer: Jwt, text: str) -> tuple[str, int]:
    with pytest.raises(KeysWanted) as raised:
        connect(authorizer, text)
    return raised.value.url, raised.value.code


def test_keys_of_a_url_come_from_the_node() -> None:
    authorizer = Jwt(jwks_url=URL)
    first, second = token(key=RSA, alg="RS256", kid="1"), token(key=EC, alg="ES256", kid="2")
    assert wanted(authorizer, first) == (URL, 4019)  # the server is away: come again
    authorizer.keys_fetched(URL, b"")
    assert wanted(authorizer, first) == (URL, 4019)
    assert authorizer.keys_fetched(URL, jwks(**{"1": RSA})) == ""
    assert connect(authorizer, first).name == "alice"
    assert wanted(authorizer, second) == (URL, 4201)  # perhaps a new key: worth a look
    for unusable in (b"", b"{", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"AAAA"}]}', b"[" * 100_000):
        assert bool(authorizer.keys_fetched(URL, unusable)) == bool(unusable)  # nothing: there are none yet
        assert connect(authorizer, first).name == "alice"
    authorizer.keys_fetched(URL, jwks(**{"2": EC}))
    assert connect(authorizer, second).name == "alice"
    assert wanted(authorizer, first) == (URL, 4201)
    assert refusal(authorizer, token(key="w" * 40, kid="2"))[0] == 4201
    assert refusal(authorizer, token(alg="none", kid="2"))[0] == 4201


def test_keys_that_are_not_for_signatures_are_left_out() -> None:
    authorizer = Jwt(jwks_url=URL)
    entries = json.loads(jwks(enc=RSA, hs=EC, ok=ED))["keys"]
    entries[0]["use"] = "enc"
    entries[1]["alg"] = "ES512"
    entries += [7, None, {}, {"kty": "RSA", "n": "AQ", "e": "AQ"}]
    authorizer.keys_fetched(URL, json.dumps({"keys": entries}).encode())
    assert connect(authorizer, token(key=ED, alg="EdDSA", kid="ok")).name == "alice"
    assert wanted(authorizer, token(key=RSA, alg="RS256", kid="enc"))[1] == 4201
    assert refusal(authorizer, token(key=EC, alg="ES256", kid="hs"))[0] == 4201


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "needs one of secret"),
        ({"secret": SECRET, "jwks_url": URL}, "has secret and jwks_url"),
        ({"secret": "short"}, "at least 32 bytes"),
        ({"secret": "s" * 63, "algorithms": ["HS256", "HS512"]}, "a secret for HS512 has at least 64 bytes, not 63"),
        ({"secret": "s" * 47, "algorithms": ["HS384"]}, "a secret for HS384 has at least 48 bytes, not 47"),
        ({"secret": PUBLIC}, "say pem"),
        ({"secret": SECRET, "algorithms": ["RS256"]}, "none of the algorithms RS256 fits the key"),
        ({"pem": PUBLIC, "algorithms": ["HS256"]}, "none of the algorithms HS256 fits the key"),
        ({"pem": "x"}, "not a public key"),
        ({"pem_file": "/no/such/file"}, "No such file"),
        ({"pem_file": "key.pem"}, "a whole path"),
        ({"jwks_url": "http://id.example/keys"}, "https:"),
        ({"jwks_url": "file:///etc/passwd"}, "https:"),
        ({"secret": SECRET, "leeway_s": -1}, "leeway_s"),
        ({"secret": SECRET, "leway_s": 1}, "leway_s"),
        ({"secret": SECRET, "default": {"subscribe": ["orders/*"]}}, "begins with `/`"),
        ({"secret": SECRET, "anonymous": {"subscribe": ["/x/{sub}"]}}, "needs the claim 'sub'"),
        ({"secret": SECRET, "issuers": []}, "belongs into each"),
        ({"issuers": []}, "empty"),
        ({"issuers": [{"secret": SECRET}, {"issuer": "a", "secret": SECRET}]}, "an `issuer` of its own"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError) as raised:
        load("jwt", options)
    assert why in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("claim", ["sub", "jti"])
def test_half_a_character_is_nobodys_name(claim: str) -> None:
    assert refusal(Jwt(secret=SECRET), token({claim: "a\ud800"})) == (4201, f"token: {claim} is not text")
