"""Datagrams can be read by the process that they are for, and by no other."""

from __future__ import annotations

from zmq.utils import z85

from mesh.transport.keys import Keys, derive, make_pair
from mesh.transport.secrecy import OVERHEAD_BYTES, Secrecy

SHARED = "a shared key of a cluster"
TEXT = b"what nobody else is to read"


def own_keys(*names: str) -> dict[str, Keys]:
    pairs = {name: make_pair() for name in names}
    publics = {name: public for name, (public, _) in pairs.items()}
    return {name: derive(SHARED, "main", name, publics, secret) for name, (_, secret) in pairs.items()}


def test_one_process_reads_what_another_has_closed_for_it() -> None:
    for keys in ({name: derive(SHARED, "main") for name in "abc"}, own_keys("a", "b", "c")):
        a, b = Secrecy(keys["a"], "a1"), Secrecy(keys["b"], "b1")
        first, second = a.close("b", "b1", TEXT), a.close("b", "b1", TEXT)
        assert first is not None
        assert second is not None
        assert first != second
        assert TEXT not in first
        assert len(first) == len(TEXT) + OVERHEAD_BYTES
        assert b.open("a", "a1", first) == b.open("a", "a1", second) == TEXT
        assert b.open("a", "a2", first) is None, "another process of a"
        assert Secrecy(keys["b"], "b2").open("a", "a1", first) is None, "another process of b"
        for nonsense in (b"", bytes(OVERHEAD_BYTES), first[:-1], first[:-1] + bytes([first[-1] ^ 1])):
            assert b.open("a", "a1", nonsense) is None


def test_another_cluster_reads_nothing() -> None:
    closed = Secrecy(derive(SHARED, "main"), "a1").close("b", "b1", TEXT)
    assert closed is not None
    assert Secrecy(derive(SHARED, "other"), "b1").open("a", "a1", closed) is None


def test_with_keys_of_their_own_nobody_speaks_for_another() -> None:
    keys = own_keys("a", "b", "c")
    closed = Secrecy(keys["c"], "a1").close("b", "b1", TEXT)
    assert closed is not None
    assert Secrecy(keys["b"], "b1").open("a", "a1", closed) is None
    assert Secrecy(keys["a"], "a1").close("stranger", "s1", TEXT) is None
    assert Secrecy(keys["a"], "a1").open("stranger", "s1", closed) is None


def test_while_keys_are_rotated_the_one_that_a_process_says_it_has_counts() -> None:
    old = derive(SHARED, "main", accepted=SHARED + "!")
    new = derive(SHARED + "!", "main", accepted=SHARED)
    a, b = Secrecy(old, "a1"), Secrecy(new, "b1")
    closed = a.close("b", "b1", TEXT, z85.decode(new.public))
    assert closed is not None
    assert b.open("a", "a1", closed, z85.decode(old.public)) == TEXT
    assert b.open("a", "a1", closed, z85.decode(new.public)) is None
    assert a.close("b", "b1", TEXT, b"?" * 32) is None
