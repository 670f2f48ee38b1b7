"""Sealed datagrams: what gets through, and that nothing else does or changes anything."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.membership import seal as seal_module
from mesh.membership.link import decode_packet
from mesh.membership.packets import CLAIMS_BYTES_MAX, Claim, MemberState, Ping, Sender
from mesh.membership.seal import BOOTS_MAX, DATAGRAM_BYTES_MAX, DIGEST_BYTES, PEERS_MAX, WINDOW, Seal
from mesh.membership.strangers import Stranger

A, B, C = "a:1", "b:1", "c:1"


def make(name: str, boot: str = "1", key: bytes = b"key", cluster: str = "mesh") -> Seal:
    return Seal(key, cluster, name, f"{name}{boot}")


def only(seal: Seal) -> bytes:
    [(_, datagram)] = seal.take_sends()
    return datagram


def introduced() -> tuple[Seal, Seal]:
    """Two that know each other's boots."""
    a, b = make("a"), make("b")
    a.learn(B, b.boot)
    b.learn(A, a.boot)
    return a, b


def sealed(a: Seal, payload: bytes, to: str = B) -> bytes:
    a.send(to, payload)
    return only(a)


def test_first_contact_costs_one_round_trip_and_keeps_the_latest_packet() -> None:
    a, b = make("a"), make("b")
    a.send(B, b"first")
    a.send(B, b"second")
    asks = [datagram for _, datagram in a.take_sends()]
    assert b.receive(A, asks[1]) is None
    who = only(b)
    assert a.receive(B, who) is None
    assert b.receive(A, only(a)) == (Sender("a", "a1", A), b"second")
    assert (a.stats.asked, a.stats.resent, b.stats.answered) == (2, 1, 1)
    b.send(A, b"back")
    assert b.stats.asked == 0  # b has learned a's boot from the packet


def test_boots_known_from_others_save_the_round_trip() -> None:
    a, b = introduced()
    assert b.receive(A, sealed(a, b"hello")) == (Sender("a", "a1", A), b"hello")


def test_a_restarted_receiver_gets_the_packet_again_under_its_new_boot() -> None:
    a, _ = introduced()
    again = make("b", "2")
    assert again.receive(A, sealed(a, b"hello")) is None
    assert again.rejected == {"other_boot": 1}
    a.receive(B, only(again))
    assert again.receive(A, only(a)) == (Sender("a", "a1", A), b"hello")


def test_datagrams_may_overtake_each_other_but_each_counts_once() -> None:
    a, b = introduced()
    datagrams = [sealed(a, bytes([i % 256])) for i in range(WINDOW)]
    Random(1).shuffle(datagrams)
    assert all(b.receive(A, datagram) for datagram in datagrams)
    assert not any(b.receive(A, datagram) for datagram in datagrams)
    assert b.rejected == {"replayed": WINDOW}
    assert b.take_sends() == []


def test_one_that_was_overtaken_by_a_whole_window_is_dropped() -> None:
    a, b = introduced()
    datagrams = [sealed(a, b"x") for _ in range(WINDOW + 1)]
    assert b.receive(A, datagrams[-1])
    assert b.receive(A, datagrams[0]) is None
    assert b.receive(A, datagrams[1])
    assert b.rejected == {"too_old": 1}


def test_a_jump_of_the_counter_forgets_no_replay() -> None:
    a, b = introduced()
    first = sealed(a, b"x")
    assert b.receive(A, first)
    a._counter += 10 * WINDOW
    assert b.receive(A, sealed(a, b"x"))
    assert b.receive(A, first) is None


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (make("a", key=b"another key"), "wrong_digest"),
        (make("a", cluster="another mesh"), "wrong_digest"),
        (make("a", cluster=""), "wrong_digest"),
    ],
)
def test_another_key_or_cluster_gets_nothing(other: Seal, reason: str) -> None:
    b = make("b")
    other.send(B, b"ask")
    other.learn(B, b.boot)
    other.send(B, b"data")
    for _, datagram in other.take_sends():
        assert b.receive(A, datagram) is None
    assert b.take_sends() == []
    assert b.rejected == {reason: 2}
    assert b._peers == {}


def test_a_notice_counts_only_where_its_datagram_came_from_and_is_never_answered() -> None:
    a, other, b = make("a", key=b"another key"), make("c", key=b"another key"), make("b")
    a.send(B, b"ask")
    asked = only(a)
    b.receive(A, asked)
    stranger = b.take_stranger()
    assert stranger == Stranger(A, asked[:DIGEST_BYTES])
    b.notify(stranger)
    notice = only(b)
    assert len(notice) < len(asked)
    for seal in (other, b):
        assert seal.receive(B, notice) is None
        assert (seal.take_stranger(), seal.rejected["unasked"]) == (None, 1)
    assert a.receive("10.6.6.6:6", notice) is None
    assert a.take_stranger() == Stranger(B)
    assert (a.take_sends(), other.take_sends(), b.take_sends()) == ([], [], [])


def test_what_has_not_the_form_of_a_datagram_comes_from_nobody_in_particular() -> None:
    b = make("b")
    for junk in (b"", b"x", bytes(100), seal_module.NOTICE, seal_module.NOTICE + bytes(2_000)):
        b.receive(A, junk)
        assert b.take_stranger() is None


def test_a_changed_bit_anywhere_is_noticed() -> None:
    a, b = introduced()
    datagram = sealed(a, b"hello")
    for bit in range(len(datagram) * 8):
        changed = bytearray(datagram)
        changed[bit // 8] ^= 1 << bit % 8
        assert b.receive(A, bytes(changed)) is None
    assert b.rejected == {"wrong_digest": len(datagram) * 8}
    assert b.take_sends() == []
    assert b.receive(A, datagram)


def test_what_was_recorded_before_a_restart_is_worth_one_answer_and_nothing_else() -> None:
    a, b = introduced()
    recorded = [sealed(a, b"x") for _ in range(5)]
    for datagram in recorded:
        b.receive(A, datagram)
    again = make("b", "2")
    for datagram in recorded:
        assert again.receive("10.6.6.6:6", datagram) is None
    answers = again.take_sends()
    assert len(answers) == 5
    assert all(len(answer) <= len(recorded[0]) + 8 for _, answer in answers)
    assert (again._peers, again._windows) == ({}, {})


def test_an_answer_is_believed_once_and_only_if_it_was_asked_for() -> None:
    a, b = make("a"), make("b")
    a.send(B, b"x")
    b.receive(A, only(a))
    who = only(b)
    stranger = make("c")
    assert stranger.receive(B, who) is None
    assert stranger.rejected == {"unasked": 1}
    a.receive(B, who)
    only(a)
    a.learn(B, "elsewhere")
    a.receive(B, who)  # replayed: the boot that it names may be long gone
    assert a.rejected == {"unasked": 1}
    assert a.take_sends() == []


def test_an_old_answer_is_not_believed_by_a_restarted_process() -> None:
    a, b = make("a"), make("b")
    a.send(B, b"x")
    b.receive(A, only(a))
    who = only(b)
    again = make("a", "2")
    again.send(B, b"x")
    only(again)
    again.receive(B, who)
    assert again.rejected == {"unasked": 1}
    assert again.take_sends() == []


def test_an_answer_to_one_that_is_long_past_is_not_believed() -> None:
    a, b = make("a"), make("b")
    a.send(B, b"x")
    b.receive(A, only(a))
    who = only(b)
    for _ in range(seal_module.ECHOES):
        sealed(a, b"x", C)
    a.receive(B, who)
    assert a.rejected == {"unasked": 1}


def test_too_many_senders_make_a_new_generation_and_nothing_old_counts_again() -> None:
    b = make("b")
    first = make("a")
    first.learn(B, b.boot)
    recorded = sealed(first, b"x")
    assert b.receive(A, recorded)
    for i in range(BOOTS_MAX):
        other = make("n", str(i))
        other.learn(B, b.boot)
        datagram = sealed(other, b"x")
        if b.receive(C, datagram) is None:
            other.receive(B, only(b))
            assert b.receive(C, only(other))
    assert b.stats.generations == 1
    assert b.receive(A, recorded) is None
    assert b.rejected == {"other_boot": 1}
    assert len(b._windows) <= BOOTS_MAX
    first.receive(B, only(b))
    assert b.receive(A, only(first)) == (Sender("a", "a1", A), b"x")


def test_the_peers_that_are_remembered_are_bounded() -> None:
    a = make("a")
    for i in range(PEERS_MAX + 10):
        a.send(f"{i}:1", b"x")
    assert len(a._peers) == PEERS_MAX


def test_too_long_is_refused_before_anything_is_computed() -> None:
    b = make("b")
    assert b.receive(A, bytes(DATAGRAM_BYTES_MAX + 1)) is None
    assert b.rejected == {"too_long": 1}


def test_the_longest_payload_with_the_longest_names_fits() -> None:
    a = Seal(b"key", "mesh", "n" * 64, "b" * 32)
    a._counter = 2**62
    a.learn(B, "c" * 32)
    packet_head = 1 + 2 + 9 + 66 + 131 + 3  # the array, tag, number, target, address and list of a ping_req
    assert len(sealed(a, bytes(CLAIMS_BYTES_MAX + packet_head))) <= DATAGRAM_BYTES_MAX


def signed(seal: Seal, body: bytes) -> bytes:
    return seal_module._digest(seal._hasher, body) + body


@pytest.mark.parametrize(
    "body",
    [
        msgspec.msgpack.encode([0, "a", "a1", 0, 0, "b1", 0]),
        msgspec.msgpack.encode([9, "a", "a1", 0, 0, "b1", 0, b""]),
        msgspec.msgpack.encode([0, "", "a1", 0, 0, "b1", 0, b""]),
        msgspec.msgpack.encode([0, "a", "x" * 33, 0, 0, "b1", 0, b""]),
        msgspec.msgpack.encode([0, "a", "a1", 0, -1, "b1", 0, b""]),
        msgspec.msgpack.encode([0, "a", "a1", 0, 2**63, "b1", 0, b""]),
        b"\x91" * 1300,
        b"\x98\x00\xa1\xff\xa2a1\x00\x00\xa2b1\x00\xc4\x00",
        b"",
    ],
)
def test_a_member_that_writes_nonsense_is_only_counted(body: bytes) -> None:
    b = make("b")
    assert b.receive(A, signed(b, body)) is None
    assert b.rejected == {"malformed": 1}
    assert b.take_sends() == []


def test_a_who_with_a_long_number_is_only_counted() -> None:
    b = make("b")
    body = msgspec.msgpack.encode([2, "a", "a1", 0, 0, "b1", 0, b"\xff" * 1000])
    assert b.receive(A, signed(b, body)) is None
    assert b.rejected == {"unasked": 1}


@given(st.binary(max_size=1500))
def test_any_bytes_are_only_counted(data: bytes) -> None:
    b = make("b")
    assert b.receive(A, data) is None
    assert b.rejected.total() == 1
    assert b.take_sends() == []


@given(st.binary(max_size=1300))
def test_any_bytes_with_the_right_digest_never_raise(data: bytes) -> None:
    b = make("b")
    b.receive(A, signed(b, data))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_packet_or_none(data: bytes) -> None:
    decode_packet(data)


def test_changed_and_cut_packets_are_a_packet_or_none() -> None:
    rng = Random(1)
    whole = msgspec.msgpack.encode(Ping(5, "a", 7, [Claim("b", MemberState.SUSPECT, 3, "1", "b:1", b"meta", "c")] * 3))
    for _ in range(5000):
        data = bytearray(whole[: rng.randrange(len(whole) + 1)])
        for _ in range(rng.randrange(1, 5)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        decode_packet(bytes(data))
    assert decode_packet(whole) is not None
    assert decode_packet(b"\x91" * 5000) is None


def test_while_keys_are_rotated_two_open_and_one_seals() -> None:
    def having(name: str, key: bytes, *accepted: bytes) -> Seal:
        seal = Seal(key, "mesh", name, f"{name}1", accepted)
        for address, other in ((A, "a"), (B, "b"), (C, "c")):
            seal.learn(address, f"{other}1")
        return seal

    not_yet, old, new = having("a", b"old"), having("b", b"old", b"new"), having("c", b"new", b"old")
    assert old.receive(C, sealed(new, b"with the new one")) == (Sender("c", "c1", C), b"with the new one")
    assert new.receive(B, sealed(old, b"with the old one", C)) == (Sender("b", "b1", B), b"with the old one")
    assert old.receive(A, sealed(not_yet, b"with the only one")) is not None
    assert not_yet.receive(C, sealed(new, b"with another one", A)) is None
    assert not_yet.rejected == {"wrong_digest": 1}
