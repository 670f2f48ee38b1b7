"""Where the nodes of a demo listen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from node.demo import run
from node.demo.plan import NAMES


def test_demos_that_start_at_once_take_different_ports(monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "_why_not", lambda *asked: "")  # both find all ports free
    ports = []
    for first in (8080, 9050):
        node = SimpleNamespace(host="127.0.0.1", port=first)
        ports += [place.cluster for place in run._places(cast(Any, SimpleNamespace(node=node)))]
    assert len(set(ports)) == 2 * len(NAMES), ports
