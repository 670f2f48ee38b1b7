"""Processes with another key: how long they are told of, and how often they are answered."""

from mesh.membership.strangers import OVER_AFTER_S, STRANGERS_MAX, Stranger, Strangers

REFUSED = b"digest"


def test_each_address_gets_one_notice_a_second_and_is_told_of_until_it_is_silent() -> None:
    strangers = Strangers()
    answered = [strangers.heard(tenth / 10, Stranger("a:1", REFUSED)) for tenth in range(30)]
    assert 3 <= sum(answered) <= 4
    assert strangers.heard(2.9, Stranger("b:1", REFUSED))
    assert strangers.addresses(2.9 + OVER_AFTER_S) == ["a:1", "b:1"]
    assert strangers.addresses(2.9 + OVER_AFTER_S + 0.1) == []


def test_who_says_that_it_does_not_open_ours_is_not_answered() -> None:
    strangers = Strangers()
    assert not strangers.heard(0, Stranger("a:1"))
    assert strangers.addresses(0) == ["a:1"]


def test_a_flood_of_addresses_is_bounded() -> None:
    strangers = Strangers()
    answered = [strangers.heard(0, Stranger(f"a:{port}", REFUSED)) for port in range(1_000)]
    assert sum(answered) == len(strangers.addresses(0)) == STRANGERS_MAX
