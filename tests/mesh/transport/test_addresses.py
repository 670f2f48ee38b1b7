"""Addresses as texts."""

from __future__ import annotations

import pytest

from mesh.transport.addresses import join_address, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [("a:1", ("a", 1)), ("10.0.0.1:7400", ("10.0.0.1", 7400)), ("[::1]:7400", ("::1", 7400))],
)
def test_addresses_are_split_and_joined(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
    assert join_address(*parts) == address


@pytest.mark.parametrize("address", ["", "a", ":1", "a:", "a:x", "a:70000", "::1:7400", "a:-1", "a:١"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError):
        split_address(address)


def test_an_ipv4_address_that_ipv6_wraps_is_an_ipv4_address() -> None:
    assert join_address("::ffff:10.0.0.1", 7400) == "10.0.0.1:7400"
    assert join_address("fe80::1%eth0", 7400) == "[fe80::1%eth0]:7400"
