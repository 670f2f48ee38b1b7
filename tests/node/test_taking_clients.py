"""Whether a node says that clients can come to it: only while there is a worker that they can connect to."""

from __future__ import annotations

from dataclasses import replace

from tests.node.cores import ALONE, VOTER, WORKER, Nodes, OneNode


def ready() -> OneNode:
    node = OneNode(ALONE)
    node.reach_end(node.start_partitions(1))
    node.take()
    assert node.core.is_ready
    return node


def test_a_node_whose_cache_is_filled_takes_clients_while_it_has_a_worker() -> None:
    node = ready()
    assert node.core.takes_clients
    node.core.worker_gone(node.now, WORKER)
    assert not node.core.takes_clients
    node.core.worker_joined(node.now, WORKER + 1)
    assert node.core.takes_clients


def test_clients_are_not_sent_to_a_node_that_has_no_worker() -> None:
    nodes = Nodes(VOTER, replace(VOTER, name="b", cluster_address="b:1"))
    here, there = nodes.nodes.values()
    both = [f"ws://{name}/v1/ws" for name in nodes.nodes]
    nodes.run(2.0)
    assert here.core.servers() == both
    there.core.worker_gone(nodes.now, WORKER)
    nodes.run(2.0)
    assert here.core.servers() == both[:1]
    there.core.worker_joined(nodes.now, WORKER + 1)
    nodes.run(2.0)
    assert here.core.servers() == both
