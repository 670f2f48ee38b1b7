"""Which nodes have confirmed a revocation."""

from __future__ import annotations

from dataclasses import replace

from mesh.membership.packets import MemberChanged, MemberState
from mesh.revocations import Revocation
from tests.node.cores import VOTER, Nodes


def test_a_voter_that_was_not_seen_yet_has_confirmed_nothing() -> None:
    voters = replace(VOTER.slots, voters=("a", "b", "c"), commit_quorum=0, elect_quorum=0)
    nodes = Nodes(*(replace(VOTER, name=name, cluster_address=f"{name}:1", slots=voters) for name in ("a", "b")))
    node = nodes.nodes["a"].core
    node.revoke(nodes.now, Revocation(100.0, 60.0, "t1"))
    assert node.confirmations() == {"b": False, "c": False}
    nodes.run(2)
    assert node.confirmations() == {"b": True, "c": False}, "c was never started"

    node.member_changed(nodes.now, MemberChanged("b", MemberState.LEFT, "b1", "b:1", b"", 0, None))
    assert node.confirmations() == {"c": False}
