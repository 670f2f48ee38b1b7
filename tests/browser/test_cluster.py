"""What the page shows of a cluster, with nodes that say whatever the test has them say.

Leaves `cluster-light.png`, `cluster-dark.png` and `cluster-phone.png` in artifacts/.

Not here: a cluster that is one (test_failover.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.stub import NAMES, StubCluster, stub_cluster
from tests.browser.visitor import Visitor

CELLS = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.dataset.colour).join('')"
FIELD = "return document.getElementById('watch-subject').value"
SHOWN = "return document.getElementById(arguments[0]).checkVisibility()"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def stub() -> Iterator[StubCluster]:
    with stub_cluster() as stub:
        yield stub


@pytest.fixture
def visitor(driver: Any, stub: StubCluster) -> Visitor:
    visitor = Visitor(driver, f"{stub.url('a')}/", [stub.url(name) for name in NAMES])
    visitor.open(1440, 1000, scheme="light")
    visitor.until(lambda: visitor.connected_to() == "a", "the page is connected")
    return visitor


def test_members_their_work_and_where_the_page_is(visitor: Visitor) -> None:
    assert visitor.text("cluster-title") == "Cluster whimbrel"
    assert visitor.text("cluster-state") == "ok"
    assert visitor.text("cluster-words") == "3 of 3 voters are there · a message is acknowledged when 2 of 3 have it"
    assert [visitor.card(name, "dataset.state") for name in NAMES] == ["alive"] * 3
    assert "22 slots" in visitor.card("a")
    assert "21 slots" in visitor.card("b")
    assert "4 partitions" in visitor.card("b")
    assert "voter · has all · 0.8 ms behind" in visitor.card("b")
    assert "behind" not in visitor.card("a"), "it is not behind itself"
    assert "this page" in visitor.card("a")
    assert "this page" not in visitor.card("b")
    assert visitor.run(CELLS, "#slots span") == ("012" * 22)[:64]
    assert len(visitor.run(CELLS, "#feeds span")) == 14
    picture = visitor.run("return document.getElementById('cluster-picture').ariaLabel")
    assert picture == "Nodes: a alive, b alive, c alive. This page is connected to a."
    feeders = visitor.run(
        "return [...document.querySelectorAll('#partitions tbody tr')].map((row) => row.cells[5].innerText)"
    )
    assert set(feeders) == set(NAMES)
    work = visitor.run("return document.getElementById('work').textContent")
    assert "127.0.0.1:7402" in work
    assert "flights 2, 5, 8, 11" in work
    visitor.nothing_is_wrong()


def test_news_of_members(visitor: Visitor, stub: StubCluster) -> None:
    stub.states |= {"b": "suspect", "c": "dead"}
    visitor.until(lambda: visitor.card("c", "dataset.state") == "dead", "c is dead")
    assert "suspect for" in visitor.card("b")
    assert "behind" not in visitor.card("b"), "what was measured before says nothing now"
    assert "behind" not in visitor.card("c")
    assert "0 slots" in visitor.card("c")
    assert visitor.text("cluster-words").startswith("1 of 3 voters")
    links = "return [...document.querySelectorAll('#cluster-picture .link')].map((line) => line.getAttribute('class'))"
    assert visitor.run(links) == ["link doubtful", "link down", "link down"]
    stub.extra = {
        "state": "degraded",
        "slots": [{"slot": 0, "epoch": 3, "coordinator": None, "end": None, "commit": None}],
    }
    visitor.until(lambda: visitor.text("cluster-state") == "degraded", "the cluster is degraded")
    assert visitor.run(CELLS, "#slots span") == "none"
    visitor.nothing_is_wrong()


def test_when_all_nodes_are_gone_none_is_shown_as_alive_and_the_page_comes_back_at_once(
    visitor: Visitor, stub: StubCluster
) -> None:
    stub.problems = ["this node drains"]
    visitor.until(lambda: visitor.text("problems") == "this node drains", "what is wrong is shown")
    for name in NAMES:
        stub.kill(name)
    visitor.until(lambda: visitor.text("node-state") == "Node: no answer", "no node answers")
    assert visitor.text("problems").startswith("no node answers"), "what a node that is gone had said is not said"
    states = "return [...document.querySelectorAll('#partitions td:last-child')].map((cell) => cell.textContent)"
    assert {*visitor.run(states)} == {"unknown"}
    assert [visitor.card(name, "dataset.state") for name in NAMES] == ["unknown"] * 3
    assert "no answer" in visitor.card("a")
    assert visitor.run("return [...document.querySelectorAll('.member-card button')].every((one) => one.disabled)")
    assert visitor.text("cluster-words") == "no node answers"
    assert visitor.text("cut") == "Connect now"
    visitor.click("cut")
    attempts = "return document.querySelectorAll('#events [data-type=reconnecting]').length"
    tried = visitor.run(attempts)
    visitor.click("cut")
    visitor.until(lambda: visitor.run(attempts) > tried, "it tries at once")
    visitor.complaints()  # of requests that nobody answered


def test_the_page_of_an_admin_listener_asks_its_own_node_alone(visitor: Visitor, stub: StubCluster) -> None:
    visitor.driver.get(f"{visitor.url}?server={stub.url('b').replace('http', 'ws')}")
    names = "return [...document.querySelectorAll('#trend-nodes dt')].map((name) => name.textContent).join('')"
    visitor.until(lambda: visitor.connected_to() == "b" and visitor.run(names), "the page is connected")
    assert visitor.run(names) == "a"
    assert visitor.text("node") == "node a"
    visitor.nothing_is_wrong()


def test_each_button_says_whom_it_kills(visitor: Visitor) -> None:
    labels = visitor.run("return [...document.querySelectorAll('.member-card button')].map((one) => one.ariaLabel)")
    assert labels[:4] == ["Kill node a", "Cut off 15 s: node a", "Kill node b", "Cut off 15 s: node b"]


def test_the_console_shows_each_node_and_what_has_happened(visitor: Visitor, stub: StubCluster) -> None:
    stub.recent = [{"time": 1_700_000_000_000, "text": "node b is dead"}]
    names = "return [...document.querySelectorAll('#trend-nodes dt')].map((one) => one.textContent)"
    visitor.until(lambda: visitor.run(names) == ["a", "b", "c"], "each node has a plot")
    topics = "return [...document.querySelectorAll('#trend-topics dt')].map((one) => one.textContent)"
    assert visitor.run(topics) == ["airports", "flights"]
    visitor.until(lambda: "684" in visitor.text("trend-topics"), "flights: 12 partitions of 57 messages")
    visitor.until(lambda: "node b is dead" in visitor.text("recent"), "events are shown")
    assert visitor.text("behind-none") == "Nobody and nothing."
    stub.states["c"] = "suspect"
    visitor.until(lambda: "node c" in visitor.text("behind"), "who does not answer is shown")
    visitor.nothing_is_wrong()


def test_a_node_alone_is_no_cluster(visitor: Visitor, stub: StubCluster) -> None:
    assert visitor.run(SHOWN, "cluster-section")
    stub.members = 1
    visitor.until(lambda: not visitor.run(SHOWN, "cluster-section"), "there is nothing to show")
    visitor.nothing_is_wrong()


def test_no_buttons_outside_of_a_demo(visitor: Visitor, stub: StubCluster) -> None:
    buttons = (
        "return [...document.querySelectorAll('.member-card button')].filter((one) => one.checkVisibility()).length"
    )
    assert visitor.run(buttons) == 6
    stub.controls = False
    visitor.until(lambda: visitor.run(buttons) == 0, "no buttons")


def test_a_namespace_can_be_published_to(visitor: Visitor) -> None:
    offered = "return [...document.getElementById('publish-topic').options].map(({ value }) => value)"
    visitor.until(lambda: visitor.run(offered) == ["chat"], "the namespace is offered")


@pytest.mark.parametrize(("width", "topics"), [(1440, ()), (390, ()), (1440, ("orders",))])
def test_a_node_without_the_demos_data_shows_no_map(
    visitor: Visitor, stub: StubCluster, width: int, topics: tuple[str, ...]
) -> None:
    assert visitor.run(SHOWN, "map-section")
    assert visitor.run(FIELD) == "/flights/ATL/*"
    stub.kafka_topics = topics
    visitor.open(width, 1000, scheme="light")
    visitor.until(lambda: visitor.run(FIELD) == ("/orders/*" if topics else "/chat/*"), "its own subjects are offered")
    suggested = "return [...document.getElementById('subjects').children].map(({ value }) => value)"
    assert visitor.run(suggested) == [f"/{name}/*" for name in (*topics, "chat")]
    assert not visitor.run(SHOWN, "map-section")
    assert visitor.run(SHOWN, "kafka-section") == bool(topics)
    assert ("from Kafka" in visitor.text("tiles")) == bool(topics)
    visitor.until(lambda: visitor.connected_to() == "a", "the page is connected")
    visitor.reads_well(width)
    visitor.nothing_is_wrong()
    visitor.type("watch-subject", "/chat/mine")
    stub.kafka_topics = ("flights",)
    visitor.until(lambda: visitor.run(SHOWN, "map-section"), "it is shown when there is something to show")
    assert visitor.run(FIELD) == "/chat/mine", "what the visitor wrote stays"
    land = "return document.getElementById('map').getContext('2d').getImageData(0, 0, 300, 300).data.some((n) => n > 0)"
    visitor.until(lambda: visitor.run(land), "the land is drawn")
    visitor.nothing_is_wrong()


def test_a_node_is_cut_off_at_its_own_address(visitor: Visitor, stub: StubCluster) -> None:
    visitor.order("b", "Cut off")
    visitor.until(lambda: "Cut off for" in visitor.card("b"), "it says for how long")
    assert stub.asked == [("b", "demo/cut?seconds=15")]
    visitor.nothing_is_wrong()


def test_the_page_goes_on_when_its_node_is_killed(visitor: Visitor, stub: StubCluster) -> None:
    visitor.order("a", "Kill")
    visitor.until(lambda: visitor.connected_to() in ("b", "c"), "the page is connected to another node")
    now = visitor.connected_to()
    assert stub.asked == [("a", "demo/kill")]
    assert visitor.text("moved").startswith(f"connected to {now}, ")
    assert visitor.text("moved").endswith("after a was lost")
    assert visitor.run(SHOWN, "moved")
    visitor.until(lambda: visitor.card("a", "dataset.state") == "dead", "a is dead, as another node says")
    assert visitor.text("cluster-view") == f"as node {now} sees it"
    assert visitor.text("node") == f"node {now}"
    assert "0" not in visitor.run(CELLS, "#slots span"), "others coordinate"
    assert "/flights/* resumed: everything missed follows" in visitor.text("events")
    assert visitor.run("return document.getElementById('status-link').href") == f"{stub.url(str(now))}/v1/status"
    disabled = "querySelector('.controls').querySelectorAll(':disabled').length"
    assert visitor.card("a", disabled) == 2, "who is dead can be neither killed nor cut off"
    assert (visitor.text("missed"), visitor.text("repeated")) == ("0", "0")


def test_the_status_is_asked_elsewhere_when_a_node_says_nothing(visitor: Visitor, stub: StubCluster) -> None:
    stub.silent = "a"
    visitor.until(lambda: "as node a" not in visitor.text("cluster-view"), "another node answers")
    assert visitor.connected_to() == "a", "the connection is still there"


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme", "is_phone"),
    [("light", 1440, 1000, "light", False), ("dark", 1024, 768, "dark", False), ("phone", 390, 844, "dark", True)],
)
def test_it_reads_well(
    visitor: Visitor, stub: StubCluster, name: str, width: int, height: int, scheme: str, is_phone: bool
) -> None:
    visitor.open(width, height, scheme=scheme, is_phone=is_phone)
    visitor.until(lambda: visitor.connected_to() == "a", "the page is connected")
    stub.states["c"] = "dead"
    visitor.until(lambda: visitor.card("c", "dataset.state") == "dead", "c is dead")
    visitor.run("document.querySelector('details').open = true")
    visitor.run("document.getElementById('moved').textContent = 'connected to a, 214 ms after b was lost'")
    visitor.run("document.getElementById('moved').classList.add('shown')")
    visitor.reads_well(width)
    visitor.keep(f"cluster-{name}.png", width, is_phone)
    visitor.nothing_is_wrong()
