"""The node that the page is connected to is killed, cut off, killed again: the page goes on at another one.

Leaves `failover-before.png`, `failover-during.png` and `failover-after.png` in artifacts/.

Not here: what the page shows in every other case (test_cluster.py).
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from tests.browser.visitor import Visitor

NAMES = "abc"
NO_SLOTS = "[^0-9]0 slots"
MAP = "return document.getElementById('map').toDataURL()"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def visitor(driver: Any, demo_url: str, demo_urls: list[str]) -> Visitor:
    visitor = Visitor(driver, f"{demo_url}/", demo_urls)
    visitor.look(1440, 1000, scheme="light")
    visitor.until(lambda: is_whole(visitor), "the cluster is whole, and the page is connected")
    return visitor


def is_whole(visitor: Visitor) -> bool:
    """All nodes are there and have everything, as the node says that the page is connected to."""
    return (
        visitor.connected_to() is not None
        and visitor.text("cluster-state") == "ok"
        and all("has all" in (visitor.card(name) or "") for name in NAMES)
        and all(visitor.card(name, "dataset.state") == "alive" for name in NAMES)
    )


def kill(visitor: Visitor) -> tuple[str, str]:
    """Kill the node that the page is connected to; return it, and where the page is then."""
    before = str(visitor.connected_to())
    visitor.watch(before)
    visitor.order(before, "Kill")
    visitor.until(lambda: visitor.connected_to() not in (None, before), "the page is connected to another node")
    return before, str(visitor.connected_to())


def is_missed(visitor: Visitor, name: str) -> bool:
    """Whether the others have noticed that a node is gone."""
    return visitor.has_shown(name, "^(suspect|dead) ")


def no_message_is_lost(visitor: Visitor) -> None:
    assert (visitor.text("missed"), visitor.text("repeated")) == ("0", "0")
    assert visitor.run("return document.querySelectorAll('#events [data-type=gap]').length") == 0


def test_the_page_goes_on_while_its_node_is_killed(visitor: Visitor) -> None:
    visitor.keep("failover-before.png", 1440)
    received = visitor.number("received")
    before, now = kill(visitor)
    assert visitor.text("moved").startswith(f"connected to {now}, ")
    visitor.until(lambda: visitor.has_received(received + 1000), "messages go on")
    no_message_is_lost(visitor)
    visitor.until(lambda: is_missed(visitor, before), "its death is noticed")
    visitor.keep("failover-during.png", 1440)
    drawn = visitor.run(MAP)
    visitor.until(lambda: visitor.run(MAP) != drawn, "the map goes on moving")
    others = [name for name in NAMES if name != before]
    visitor.until(lambda: visitor.has_shown(before, NO_SLOTS), "others coordinate")
    assert not any(re.search(NO_SLOTS, visitor.card(name)) for name in others)
    visitor.until(lambda: is_whole(visitor), "it is back")
    assert visitor.connected_to() == now, "the page stays where it is"
    received = visitor.number("received")
    visitor.until(lambda: visitor.has_received(received + 1000), "messages go on")
    visitor.keep("failover-after.png", 1440)
    no_message_is_lost(visitor)


def test_one_after_the_other_is_killed(visitor: Visitor) -> None:
    for _ in range(3):
        visitor.until(lambda: is_whole(visitor), "the cluster is whole")
        received = visitor.number("received")
        before, _ = kill(visitor)
        visitor.until(partial(visitor.has_received, received + 1000), "messages go on")
        no_message_is_lost(visitor)
        visitor.until(partial(is_missed, visitor, before), "its death is noticed")
    visitor.until(lambda: is_whole(visitor), "the cluster is whole")
    no_message_is_lost(visitor)


def test_a_node_that_is_cut_off_comes_back_without_a_loss(visitor: Visitor) -> None:
    mine = str(visitor.connected_to())
    other = next(name for name in NAMES if name != mine)
    for name in (other, mine):
        received = visitor.number("received")
        for one in NAMES:
            visitor.watch(one)
        visitor.order(name, "Cut off")
        # If the page is connected to it, it is the others that are missed.
        visitor.until(lambda: any(is_missed(visitor, one) for one in NAMES), "it is noticed")
        visitor.until(partial(visitor.has_received, received + 5000), "messages go on")
        visitor.until(lambda: is_whole(visitor), "the cluster is whole again")
        no_message_is_lost(visitor)
