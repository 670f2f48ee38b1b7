"""Addresses that TCP reaches and UDP does not."""

from node.cluster.only_tcp import AGAIN_S, SILENT_S, OnlyTcp

A, B = "10.0.0.1:7400", "10.0.0.2:7400"


def test_what_is_silent_for_a_while_is_tried_again_and_again() -> None:
    only = OnlyTcp()
    assert only.second(0, {A}) == []
    assert only.second(SILENT_S - 0.1, {A, B}) == []
    assert only.second(SILENT_S, {A, B}) == [A]
    assert only.second(SILENT_S + 1, {A, B}) == []
    assert only.second(SILENT_S + AGAIN_S, {A, B}) == [A, B]


def test_it_is_told_once_and_over_when_the_address_is_heard_or_nobody_is_there() -> None:
    only = OnlyTcp()
    only.second(0, {A, B})
    assert only.tried(A, True)
    assert not only.tried(A, True)
    assert only.tried(B, True)
    assert only.found == [A, B]
    assert not only.tried(B, False)
    assert only.found == [A]
    only.second(1, {B})
    assert only.found == []
    assert not only.tried(A, True), "it was heard while the connection was tried"
    assert only.found == []
