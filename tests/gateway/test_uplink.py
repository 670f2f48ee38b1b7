"""The worker's end of the link when the node's takes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import gevent
import msgspec
import pytest
import zmq
from gevent import get_hub

from gateway import uplink, worker
from gateway.link import events as link
from gateway.link.numbering import Numbers
from gateway.sessions import node_watch
from gateway.uplink import Uplink
from tests.gateway.fake_node import SETTINGS
from tests.support.patience import PATIENCE_S

decode = msgspec.msgpack.Decoder(list[link.FromWorker]).decode


def test_what_the_node_does_not_take_waits_in_order_and_is_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[link.FromWorker] = []

    def packets(events: list[link.FromWorker]) -> list[bytes]:
        encoded.extend(events)
        return [msgspec.msgpack.encode([event]) for event in events]

    monkeypatch.setattr(uplink, "packets", packets)
    monkeypatch.setattr(uplink, "SEND_PACKETS_MAX", 1)
    address = f"ipc://{tmp_path}/link"
    context = zmq.Context()
    one = Uplink(get_hub().loop, address, "worker-0-1", lambda events: None, lambda: None)
    try:
        # Nobody is there yet: nothing but this thread takes anything from what waits.
        sent: list[link.FromWorker] = [link.Publish(n, "/t", "p", 1, b"x" * 1000, []) for n in range(10)]
        for event in sent:
            one.send([event])
        waiting = one.waiting_bytes
        assert waiting > 1000
        one.send([])
        assert one.waiting_bytes == waiting
        router = context.socket(zmq.ROUTER)
        router.bind(address)
        found: list[link.FromWorker] = []
        until = time.monotonic() + PATIENCE_S
        while len(found) < len(sent) and time.monotonic() < until:
            if router.poll(1):
                found += decode(router.recv_multipart()[1])
            one.send([])
        assert found == sent == encoded
        assert one.waiting_bytes == 0
    finally:
        one.close()
        context.destroy(0)


def test_no_more_is_taken_than_clients_can_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "AHEAD_BYTES_MAX", 1_000)
    address = f"ipc://{tmp_path}/link"
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(address)
    found: list[link.FromNode] = []
    one = Uplink(get_hub().loop, address, "worker-0-1", found.extend, lambda: None)
    try:
        one.send([link.Ready(0, 1)])
        assert router.poll(int(PATIENCE_S * 1000))
        router.recv_multipart()
        numbers = Numbers()
        for sid in range(6):
            packet = msgspec.msgpack.encode([link.Page(sid, b"x" * 700, {}, [], True)])
            router.send_multipart([b"worker-0-1", numbers.header(), packet])
            numbers.use()
        for taken in (2, 4, 6):
            until = time.monotonic() + PATIENCE_S
            while len(found) < taken and time.monotonic() < until:
                gevent.sleep(0.001)
            gevent.sleep(0.05)  # in which more would come, if it were taken
            assert [page.sid for page in found if isinstance(page, link.Page)] == [*range(taken)]
            assert one.taken == taken - 2
            assert one.is_behind
            one.done(one.handed_over)
        assert one.taken == 6
        assert not one.is_behind
    finally:
        one.close()
        context.destroy(0)


def test_a_node_that_takes_nothing_any_more_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "SEND_PACKETS_MAX", 1)
    monkeypatch.setattr(node_watch, "LINK_BYTES_MAX", 1_000)
    one = worker.Worker(msgspec.structs.replace(SETTINGS, link=f"ipc://{tmp_path}/nobody"))
    try:
        for _ in range(200):
            assert not one.draining
            one.sessions.outputs.events.append(link.Drop("/t/a", 0))
            one._send()
            if one.draining:
                break
        assert one.done.wait(PATIENCE_S)
        assert one.exit_status == worker.EXIT_NODE_LOST
    finally:
        one._uplink.close()
