"""A node process that lives and says nothing: its worker sends the clients elsewhere."""

from __future__ import annotations

import time

import pytest

from gateway.link import events as link
from tests.gateway.fake_node import FakeNode, Refused
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

SPEAKS = link.Live({}, ([], []), ([], []))


def test_clients_of_a_node_that_says_nothing_are_sent_away_until_it_speaks_again() -> None:
    with FakeNode(node_silent_s=0.6) as node:
        client = node.client(link.JSON)
        node.go_live(client)
        for _ in range(3):
            time.sleep(0.3)
            node.say(SPEAKS)
        assert client.closed()[0] == 4101
        with pytest.raises(Refused, match="503"):
            node.client(link.JSON)
        deadline = time.monotonic() + PATIENCE_S
        while not _is_let_in(node):
            assert time.monotonic() < deadline


def _is_let_in(node: FakeNode) -> bool:
    node.say(SPEAKS)
    try:
        node.client(link.JSON)
    except Refused:
        return False
    return True
