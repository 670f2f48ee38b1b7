"""All keys follow from the shared one; own pairs must belong together."""

from __future__ import annotations

import pytest
import zmq
from zmq.utils import z85

from mesh.transport.keys import KeysError, derive, make_pair
from mesh.transport.zap import DOMAIN, Gate

SHARED = "correct horse battery"


def test_the_same_text_makes_the_same_keys() -> None:
    keys = derive(SHARED, "whimbrel")
    assert keys == derive(SHARED.encode() + b"\n", "whimbrel")
    assert [len(key) for key in keys.datagrams] == [32]
    assert keys.public == zmq.curve_public(keys.secret)
    assert keys.server_key("anyone") == keys.public
    assert keys.accepted() == {z85.decode(keys.public): ""}


def test_known_keys_stay_what_they_are() -> None:
    """Nodes of two releases are one cluster."""
    keys = derive(SHARED, "whimbrel")
    assert keys.datagrams[0].hex() == "7e48e03d240349c6835d04b10500d0225ebb578104ea5693e06008d07d999395"
    assert keys.public == b"7fUsVUMD78b&V!jm*o*U>Y4khUy:.JNY=84zH3by"


@pytest.mark.parametrize(("shared", "cluster"), [(SHARED + "!", "whimbrel"), (SHARED, "other"), (SHARED, "")])
def test_another_key_or_cluster_shares_nothing(shared: str, cluster: str) -> None:
    ours, theirs = derive(SHARED, "whimbrel"), derive(shared, cluster)
    assert ours.datagrams != theirs.datagrams
    assert ours.public != theirs.public


def test_no_key_follows_from_another() -> None:
    keys = derive(SHARED, "whimbrel")
    assert len({*keys.datagrams, z85.decode(keys.secret), z85.decode(keys.public)}) == 3


def test_secrets_are_not_printed() -> None:
    keys = derive(SHARED, "whimbrel")
    assert keys.secret.decode() not in repr(keys)
    assert repr(keys.datagrams[0]) not in repr(keys)


@pytest.mark.parametrize("shared", ["", "short", "x" * 15, " " * 20 + "x" * 15, b"x" * 15 + b"\n"])
def test_a_short_key_is_refused(shared: str | bytes) -> None:
    with pytest.raises(KeysError, match="fewer than 16"):
        derive(shared, "whimbrel")


def test_a_new_pair_is_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are variables of Ansible, which fails at one that has `{{` in it."""
    good = (b"p" * 40, b"s" * 38 + b"{}")
    drawn = iter([(b"p" * 40, b"s" * 38 + b"{{"), (b"{%" + b"p" * 38, b"s" * 40), good])
    monkeypatch.setattr(zmq, "curve_keypair", lambda: next(drawn))
    assert make_pair() == (good[0].decode(), good[1].decode())


def test_each_node_has_its_own_pair() -> None:
    (a_public, a_secret), (b_public, _) = make_pair(), make_pair()
    keys = derive(SHARED, "whimbrel", "a", {"a": a_public, "b": f" {b_public}\n"}, a_secret)
    assert (keys.public, keys.secret) == (a_public.encode(), a_secret.encode())
    assert keys.server_key("b") == b_public.encode()
    assert keys.server_key("c") is None
    assert keys.accepted() == {z85.decode(a_public): "a", z85.decode(b_public): "b"}
    assert keys.datagrams == derive(SHARED, "whimbrel").datagrams


def test_a_second_key_of_the_cluster_is_accepted_and_not_used() -> None:
    old, new = derive(SHARED, "whimbrel"), derive(SHARED + "!", "whimbrel")
    both = derive(SHARED, "whimbrel", accepted=SHARED + "!")
    assert (both.public, both.secret) == (old.public, old.secret)
    assert both.datagrams == (*old.datagrams, *new.datagrams)
    assert both.accepted() == {**old.accepted(), **new.accepted()}
    for told, shown in ((b"", old.public), (z85.decode(old.public), old.public), (z85.decode(new.public), new.public)):
        assert both.server_key("b", told) == shown
    assert both.server_key("b", b"?" * 32) is None


def test_other_keys_of_nodes_are_accepted_from_them_only() -> None:
    (old_a, secret), (old_b, _), (new_b, _) = make_pair(), make_pair(), make_pair()
    keys = derive(SHARED, "whimbrel", "a", {"a": old_a, "b": old_b}, secret, None, {"b": new_b})
    assert keys.accepted() == {z85.decode(old_a): "a", z85.decode(old_b): "b", z85.decode(new_b): "b"}
    assert keys.server_key("b", z85.decode(new_b)) == new_b.encode()
    assert keys.server_key("b") == old_b.encode()
    assert keys.server_key("b", z85.decode(old_a)) is None
    with pytest.raises(KeysError, match="nodes 'a' and 'b' have the same"):
        derive(SHARED, "whimbrel", "a", {"a": old_a, "b": old_b}, secret, None, {"b": old_a})


def test_keys_that_do_not_belong_together_are_refused() -> None:
    (a, secret), (b, other) = make_pair(), make_pair()
    for node_keys, own, complaint in (
        ({"b": b}, secret, "no key of this node, 'a'"),
        ({"a": a}, None, "needs the secret key"),
        ({"a": a}, other, "does not belong to the public key of 'a'"),
        ({"a": a, "b": a}, secret, "nodes 'a' and 'b' have the same"),
        ({"a": a, "": b}, secret, "without a name"),
        (None, secret, "without node_keys"),
        ({"a": a[:-1]}, secret, "public key of node 'a' is not"),
        ({"a": "é" * 40}, secret, "public key of node 'a' is not"),
        ({"a": "#" * 40}, secret, "public key of node 'a' is not"),  # digits that are more than 32 bits
        ({"a": a}, "'" * 40, "secret key of this node is not"),
    ):
        with pytest.raises(KeysError, match=complaint) as raised:
            derive(SHARED, "whimbrel", "a", node_keys, own)
        assert secret not in str(raised.value)


def ask(gate: Gate, domain: bytes, mechanism: bytes, *credentials: bytes) -> list[bytes]:
    return gate.answer([b"1.0", b"7", domain, b"127.0.0.1", b"", mechanism, *credentials])


def test_the_gate_lets_the_accepted_keys_in_and_nobody_else() -> None:
    gate = Gate({b"k" * 32: "a"})
    assert ask(gate, DOMAIN, b"CURVE", b"k" * 32) == [b"1.0", b"7", b"200", b"OK", b"a", b""]
    assert gate.refused == 0
    for question in (
        (DOMAIN, b"CURVE", b"l" * 32),
        (DOMAIN, b"NULL"),
        (DOMAIN, b"PLAIN", b"user", b"k" * 32),
        (b"other", b"CURVE", b"k" * 32),
    ):
        assert ask(gate, *question)[2:5] == [b"400", b"not one of us", b""]
    assert gate.refused == 4
