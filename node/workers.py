"""The node's gateway workers: their processes, kept alive, and the node's end of the link.

One ROUTER socket serves all workers; each worker process has its own connection, so a FIFO of its own. Packets to a
worker are numbered (gateway/link/numbering.py), and it says which it has taken. A worker for which too
much waits is cut off: it gets nothing until it has taken all that waits, and then finds the jump in the numbers and is
caught up (gateway/link/events.py). How long something waits is no reason: catching up is more work for it than taking
what waits, and that is the last thing that a worker without time needs.

Not here: what is said (node/node.py), when the socket is read (mesh/transport/pump.py), in which order what came is
handled (worker_queue.py), which workers stand still (standstill.py).
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import gevent
import msgspec
import zmq
from gevent import get_hub

from gateway.link.crash import crash
from gateway.link.events import FromNode, FromWorker, Taken
from gateway.link.logs import event
from gateway.link.numbering import Numbers
from gateway.link.processor_wait import ProcessorWait
from gateway.link.settings import GatewaySettings
from mesh.histogram import Histogram
from mesh.loop import Watchers
from mesh.transport.pump import Pump
from node.interest import WorkerId
from node.link_queue import LinkQueue
from node.standstill import SILENT_S, Standstill
from node.wait_ended import wait_ended
from node.worker_queue import WorkerQueue

log = logging.getLogger(__name__)

QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""What waits for a worker at which it is cut off."""
TURN_S = 0.01
"""How long one turn of handling what workers say may last."""
EMPTY = b"\x90"
"""A packet without events: only its number counts."""
PAUSE_S = 0.0001
"""Zero would not let the loop look at its other sockets in between."""
_DONTWAIT, _MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
"""As plain integers: pyzmq's own enumeration costs more than the sending."""
RESTART_MIN_S = 0.05
RESTART_MAX_S = 5.0
EXIT_CANNOT_START = 2
"""A worker's exit status when its settings are at fault: starting it again would not help."""
FAST_DEATH_S = 5.0
"""A worker that lived shorter than this is restarted after a pause that doubles."""


class SupervisedWorker:
    """A worker and its process, which is started again when it has ended."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        self.id: WorkerId = -1
        """A new number for each process, so that what belongs to a dead one is never mixed up with the next."""
        self.route = b""
        self.numbers = Numbers()
        self.queue = LinkQueue()
        self.cut_off = False
        self.restarts = 0
        self.stood_still_at: float | None = None
        """When one of its processes was killed because it stood still; the last time."""
        self.started_at = 0.0
        self.pause_s = RESTART_MIN_S
        self.stats: dict[str, float] = {}
        self.delivery = Histogram()
        """Of live messages, as in its last `Stats`."""

    @property
    def pid(self) -> int:
        """Process id; 0 if there is none."""
        return self.process.pid if self.process is not None else 0


class WorkersOwner(Protocol):
    """Who is told what workers say and what becomes of them."""

    def worker_joined(self, worker: WorkerId) -> None:
        """A process has begun to speak."""

    def worker_event(self, worker: SupervisedWorker, event: FromWorker) -> None:
        """One event of a worker; `workers_said` follows the last of a turn."""

    def workers_said(self) -> None:
        """That was all for this turn."""

    def worker_lost_place(self, worker: WorkerId) -> None:
        """A worker will not get something that it was told, and will find that out."""

    def worker_gone(self, worker: WorkerId) -> None:
        """A process has ended."""

    def worker_cannot_run(self, status: int) -> None:
        """A worker's settings are at fault: the node should end with this exit status."""

    def perform(self) -> None:
        """Something has changed that is not of a turn."""


def with_whole_paths(settings: GatewaySettings) -> GatewaySettings:
    """The same, with files as a worker finds them, which runs in another folder than the node."""
    names = ("certificate", "certificate_key", "client_ca")
    whole = {name: os.path.abspath(getattr(settings, name)) for name in names if getattr(settings, name)}
    return msgspec.structs.replace(settings, **whole)


class Workers:
    """All workers of the node."""

    def __init__(self, settings: list[GatewaySettings], owner: WorkersOwner) -> None:
        """Listen on the link."""
        self.all = [SupervisedWorker(with_whole_paths(one)) for one in settings]
        self.cut_offs = 0
        self._owner = owner
        self._by_route: dict[bytes, SupervisedWorker] = {}
        self._by_id: dict[WorkerId, SupervisedWorker] = {}
        self._waits: dict[WorkerId, ProcessorWait] = {}
        self._next_id = 0
        self._stopping = False
        self._standstill = Standstill()
        self._outgoing: dict[WorkerId, list[FromNode]] = {}
        self._queue = WorkerQueue()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[FromWorker]).decode
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # what waits is counted by its bytes
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.bind(settings[0].link)
        loop: Watchers = get_hub().loop
        self._again = loop.timer(PAUSE_S)
        self._pump = Pump(loop, crash, self._handle)
        self._pump.add(self._socket, self._fetch, self._take)

    @property
    def queue_bytes(self) -> int:
        """What has been sent to workers and not been taken yet."""
        return sum(worker.queue.bytes for worker in self.all)

    def start(self) -> None:
        """Start every worker and keep it alive."""
        for worker in self.all:
            self._start(worker)
            gevent.spawn(self._supervise, worker)

    def send(self, worker: WorkerId, said: FromNode) -> None:
        """Put this in the worker's FIFO; `flush` sends it. Nothing happens if the worker is gone."""
        if worker in self._by_id:
            self._outgoing.setdefault(worker, []).append(said)

    def flush(self) -> None:
        """Send what has been put into the FIFOs, one packet per worker."""
        if not self._outgoing:
            return
        outgoing, self._outgoing = self._outgoing, {}
        cut: list[SupervisedWorker] = []
        for id, said in outgoing.items():
            worker = self._by_id.get(id)
            if worker is None or worker.cut_off:
                continue
            if worker.queue.bytes > QUEUE_BYTES_MAX:
                cut.append(worker)
                continue
            packet = self._encode(said)
            try:
                self._socket.send(worker.route, _MORE)
                self._socket.send(worker.numbers.header(), _MORE)
                self._socket.send(packet, _DONTWAIT)
                worker.numbers.use()
                worker.queue.put(len(packet))
            except zmq.ZMQError:
                cut.append(worker)  # not connected: it has died, or will find the jump when it is back
        self._pump.check(self._socket)
        for worker in cut:
            self._cut(worker)
        if cut:
            self._owner.perform()  # not before all others have got theirs

    def tick(self, now: float) -> None:
        """About every 50 ms: kill workers that stand still (the kernel gives them connections that nobody serves)."""
        waited_s = {id: wait.read_s() for id, wait in self._waits.items()}
        for id in self._standstill.tick(now, waited_s):
            worker = self._by_id[id]
            worker.stood_still_at = now
            index, pid = worker.settings.index, worker.pid
            event(log, "worker_stands_still", logging.WARNING, index=index, pid=pid, silent_s=SILENT_S)
            if worker.process is not None:
                worker.process.kill()
        self._poke()

    def resync(self, worker: WorkerId) -> None:
        """Leave out a number, so that the worker says `CatchUp`, as the core knows already."""
        found = self._by_id.get(worker)
        if found is not None and not found.cut_off:
            found.cut_off = True
            found.numbers.use()
            self._outgoing.pop(worker, None)

    def _poke(self) -> None:
        """Give workers that were cut off and have taken what waited another chance."""
        for worker in self._by_id.values():
            if worker.cut_off and not worker.queue.bytes:
                with contextlib.suppress(zmq.ZMQError):
                    self._socket.send_multipart((worker.route, worker.numbers.header(), EMPTY), _DONTWAIT)
                    worker.numbers.use()
                    worker.queue.put(len(EMPTY))
                    worker.cut_off = False
                    event(log, "worker_back", index=worker.settings.index)

    def stop(self, wait_s: float) -> None:
        """Wait for the workers to end by themselves; then end them."""
        self._stopping = True
        for worker in self.all:
            if worker.id < 0 and worker.process is not None:
                worker.process.kill()  # it has not joined: it has no clients, and was not told to drain
        with gevent.Timeout(wait_s, False):
            for worker in self.all:
                if worker.process is not None:
                    wait_ended(worker.process)
        for worker in self.all:
            if worker.process is not None:
                if worker.process.poll() is None:
                    worker.process.kill()
                worker.process.wait()

    def close(self) -> None:
        """Close the link."""
        self._pump.close()
        self._again.stop()
        self._again.close()
        self._socket.close()
        self._context.destroy(linger=0)

    # Processes.

    def _start(self, worker: SupervisedWorker) -> None:
        worker.process = subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            start_new_session=True,  # Ctrl-C reaches the node alone, which then drains its workers
        )
        assert worker.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            worker.process.stdin.write(msgspec.json.encode(worker.settings) + b"\n")
            worker.process.stdin.flush()
        worker.started_at = time.monotonic()

    def _supervise(self, worker: SupervisedWorker) -> None:
        try:
            while True:
                assert worker.process is not None
                process = worker.process
                wait_ended(process)
                self._forget(worker)
                if self._stopping:
                    return
                lived_s = time.monotonic() - worker.started_at
                worker.pause_s = RESTART_MIN_S if lived_s > FAST_DEATH_S else min(worker.pause_s * 2, RESTART_MAX_S)
                event(log, "worker_died", index=worker.settings.index, pid=process.pid, status=process.returncode)
                if process.stdin is not None:
                    process.stdin.close()
                if process.returncode == EXIT_CANNOT_START:
                    self._owner.worker_cannot_run(EXIT_CANNOT_START)
                    return
                gevent.sleep(worker.pause_s)
                if self._stopping:
                    return
                worker.restarts += 1
                self._start(worker)
        except Exception:
            crash()

    def _forget(self, worker: SupervisedWorker) -> None:
        if worker.id in self._by_id:
            del self._by_id[worker.id]
            self._by_route.pop(worker.route, None)
            self._outgoing.pop(worker.id, None)
            worker.stats = {}
            worker.delivery = Histogram()
            self._standstill.gone(worker.id)
            self._waits.pop(worker.id).close()
            self._owner.worker_gone(worker.id)
            worker.id = -1  # the process that follows has not joined yet
            self._owner.perform()

    # The link.

    def _fetch(self) -> tuple[bytes, bytes]:
        return self._socket.recv(_DONTWAIT), self._socket.recv(_DONTWAIT)

    def _take(self, parts: tuple[bytes, bytes]) -> None:
        route, packet = parts
        worker = self._by_route.get(route) or self._welcome(route)
        if worker is not None:
            self._standstill.heard(worker.id)
            said = self._decode(packet)
            if said and isinstance(last := said[-1], Taken):
                worker.queue.taken(last.packets)
                said.pop()
            self._queue.put(worker.id, said)

    def _handle(self) -> None:
        """Handle what the workers have said, for a bounded time: the mesh and Kafka have their turn in between."""
        try:
            until = time.monotonic() + TURN_S
            is_any = bool(self._queue)
            while self._queue and time.monotonic() < until:
                said = self._queue.take()
                if said is not None and (worker := self._by_id.get(said[0])) is not None:
                    self._owner.worker_event(worker, said[1])
            if self._queue:
                self._again.start(self._handle)
            if is_any:
                self._owner.workers_said()
        except Exception:
            crash()

    def _welcome(self, route: bytes) -> SupervisedWorker | None:
        """The first packet of a worker: its route is `worker-<index>-<pid>`."""
        name = route.decode("latin-1").split("-")
        if len(name) != 3 or not name[1].isdigit() or int(name[1]) >= len(self.all):
            return None
        worker = self.all[int(name[1])]
        if str(worker.pid) != name[2]:
            return None
        self._next_id += 1
        worker.id, worker.route, worker.cut_off = self._next_id, route, False
        worker.numbers, worker.queue = Numbers(), LinkQueue()
        self._by_route[route] = self._by_id[worker.id] = worker
        self._waits[worker.id] = ProcessorWait(worker.pid)
        self._standstill.joined(time.monotonic(), worker.id)
        self._owner.worker_joined(worker.id)
        return worker

    def _cut(self, worker: SupervisedWorker) -> None:
        """It does not keep up, or is not connected."""
        worker.cut_off = True
        worker.numbers.use()  # by the packet that is not sent: the jump
        self.cut_offs += 1
        event(log, "worker_cut_off", index=worker.settings.index)
        self._owner.worker_lost_place(worker.id)
