"""The load on several nodes, with one that is a cluster of its own: it keeps count and gets answers."""

from collections.abc import Iterator
from functools import partial

import pytest

from loadtest.listener import Heard, Listener
from loadtest.node import Node
from loadtest.process import Child, Failed
from loadtest.publisher import Latencies, Publisher
from loadtest.users import Outcome, Users

pytestmark = pytest.mark.slow

SUBJECTS = [f"/bench/k{number}" for number in range(20)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    log = tmp_path_factory.mktemp("node") / "node.log"
    with Node(log, "--namespaces", "bench,other", "--workers", "1") as node:
        yield node


@pytest.fixture
def publisher(node: Node) -> Iterator[Child]:
    with Child("publisher", partial(Publisher, 1)) as child:
        child.call("connect", ports=[node.port], each=3, subjects=SUBJECTS, pad=90)
        yield child


def test_one_at_a_time_everything_is_answered_and_heard(node: Node, publisher: Child) -> None:
    with Child("listener", partial(Listener, [node.port, node.port], "/bench/*")) as listener:
        listener.call("live")
        coordinated = {subject: node.port if number % 2 else 0 for number, subject in enumerate(SUBJECTS)}
        found: Latencies = publisher.call("one_at_a_time", seconds=0.5, pause_s=0.02, coordinated=coordinated)
        count = len(found["here"]) + len(found["there"])
        assert found["here"]
        assert found["there"]
        assert sum(publisher.call("published").values()) == count
        heard: Heard = listener.call("take")
        while len(heard.slowest) < count:
            more: Heard = listener.call("take")
            heard.slowest.extend(more.slowest)
        assert len(heard.slowest) == count
        assert (heard.missing, heard.repeated) == (0, 0)
    pings: Latencies = publisher.call("one_at_a_time", seconds=0.2, pause_s=0.02, coordinated=None)
    assert pings["there"]
    assert sum(publisher.call("published").values()) == count, "a ping publishes nothing"


def test_pipelined_everything_is_answered(publisher: Child) -> None:
    assert publisher.call("pipelined", seconds=0.3, warm_s=0.1, window=50, publish=False) > 100
    assert publisher.call("pipelined", seconds=1.0, warm_s=0.1, window=50, publish=True) > 100
    assert publisher.call("pipelined", seconds=1.0, warm_s=0.0, window=50, publish=True) > 100, "nothing is left over"


def test_a_refusal_is_said(node: Node) -> None:
    with Child("publisher", partial(Publisher, 1)) as publisher:
        publisher.call("connect", ports=[node.port], each=1, subjects=["/nowhere/k"], pad=90)
        with pytest.raises(Failed, match=r"refused: .*not_mapped"):
            publisher.call("pipelined", seconds=0.1, warm_s=0.0, window=1, publish=True)


def test_users_of_the_sdk_get_what_they_publish(node: Node) -> None:
    with Child("users", partial(Users, [node.url, node.url], "bench", "other")) as users:
        for _ in range(2):
            users.call("prepare")
            users.call("run", seconds=1.5)
            outcome: Outcome = users.call("outcome", records=0)
            assert outcome.published > 20
            assert outcome.received == [outcome.published] * 2
            assert (outcome.missing, outcome.repeated, outcome.records) == (0, 0, [0, 0])
            assert min(outcome.publish_ms) > 0
