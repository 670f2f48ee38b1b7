"""Scripts of what befalls a small cluster, and everything that it does about it, for transcripts (transcript.py).

Several commands may stand in one line, with `;` between. Each line of what follows is

    seconds  node            what it does to itself
    seconds  node -> node    the packet that it sends

Left out is what says nothing new: beacons (unless the coordinator takes publishes or stops taking them), and an
acknowledgement of what was acknowledged before; and all that a command does that begins with `quietly`.

Not here: the nodes and the network (slot_world.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesh.log import Position
from mesh.repeats import PublishKey
from mesh.slots.copying import Fetch, LogState, Range, Trimmed
from mesh.slots.election import Grant, Resign, Vote
from mesh.slots.forwarding import AlreadyCommitted, Forward, PublishCommitted, PublishRefused
from mesh.slots.reach import Relayed
from mesh.slots.replication import Append, AppendOk, Commit, Reject, StartEpoch, Sync
from mesh.slots.slot import CacheWanted, Committed, Loaded, Opened, Repeated, RoleChanged
from mesh.slots.slot_log import Item
from mesh.slots.slots import Beacon, Recall, Recalled, decode_relayed
from tests.mesh.slots.slot_world import LOST, TICK_MS, World


class Script:
    """One run of one script."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._lines: list[str] = []
        self._logs: dict[str, str] = {}
        """Incarnation -> the name that it has here."""
        self._acked: dict[tuple[str, str], tuple[int, int]] = {}
        self._takes: dict[str, tuple[int, bool]] = {}
        self._is_shown = True

    @property
    def world(self) -> World:
        """The cluster, once there is one."""
        assert self._world is not None, "the first command is `cluster`"
        return self._world

    def execute(self, line: str) -> list[str]:
        """Carry out the commands of a line; returns what happened."""
        for command in line.split("; "):
            self._do(command)
        lines, self._lines = self._lines, []
        return lines

    def _do(self, command: str) -> None:
        match command.split():
            case ["quietly", *rest]:
                before, self._lines = self._lines, []
                self._do(" ".join(rest))
                self._lines = before
            case ["cluster", *names]:
                voters, observers = _split(names, "observers")
                self._world = World(voters, observers, self._note)
            case ["run", ms]:
                self.world.run(int(ms))
            case ["tick", times]:
                self.world.run(int(times) * TICK_MS)
            case ["publish", node, text, *rest]:
                publisher, number = (rest[1], int(rest[2])) if rest[:1] == ["as"] else (f"client-{node}", 0)
                self.world.published[publisher] = number or self.world.published[publisher] + 1
                self.world.publish(node, publisher, self.world.published[publisher], text)
            case ["crash", *names]:
                self._each(self.world.crash, names)
                self._acked = {way: said for way, said in self._acked.items() if way[0] not in names}
            case ["restart", node, *how]:
                if how == ["without", "disk"]:
                    self.world.nodes[node].disk = None
                self.world.start(node)
            case ["disk", "of", node, "full" | "free" as how]:
                self.world.nodes[node].can_save = how == "free"
            case ["pause", node]:
                self.world.pause(node)
            case ["resume", node]:
                self.world.resume(node)
            case ["cut", "from", speaker, "to", listener]:
                self.world.cut_one_way(speaker, listener)
            case ["cut", node, *others]:
                self._each(lambda other: self.world.cut(node, other), others or self._others(node))
            case ["heal"]:
                self.world.heal()
            case ["drop", "next", kind, "from", sender, "to", node]:
                self.world.drop_next(kind, sender, node)
            case ["alive", *names]:
                self.world.declare(names)
            case ["leave", node]:
                self.world.leave(node)
            case ["links"]:
                for name, one in self.world.nodes.items():
                    missing = [] if one.slots is None else one.slots.missing_links
                    self._lines.append(f"{name}  {', '.join(f'{x} -/-> {y}' for x, y in missing) or 'all links'}")
            case ["slots"]:
                self._show_slots()
            case _:
                raise ValueError(f"no command: {command}")

    def _each(self, action: Any, names: Iterable[str]) -> None:
        for name in names:
            action(name)

    def _others(self, node: str) -> list[str]:
        return [name for name in self.world.nodes if name != node]

    def _show_slots(self) -> None:
        for name, node in self.world.nodes.items():
            if node.slots is None:
                self._lines.append(f"{name}  does not run")
                continue
            slot = node.slots.by_number[0]
            kind = "voter, synced" if slot.is_synced else "voter, not synced" if slot.is_voter else "observer"
            self._lines.append(
                f"{name}  {slot.role.value:<12} promised {slot.promised}, accepted {slot.accepted}, log "
                f"{self._log(slot.incarnation)} up to {slot.log.end}, committed {slot.commit} ({kind})"
            )

    # What is told.

    def _note(self, now: int, node: str, what: Any, to: str) -> None:
        if what == LOST:
            if self._is_shown:
                self._lines[-1] += f"  (lost on the way to {to})"
            return
        told = self._packet(node, what, to) if hasattr(type(what), "__struct_config__") else None
        is_packet = told is not None
        told = told if is_packet else self._event(node, what)
        self._is_shown = bool(told)
        if told:
            verb, _, rest = told.partition(" ")
            way = f"{node} -> {to or 'all'}" if is_packet else node
            self._lines.append(f"{now / 1000:7.3f}  {way:<9} {verb:<11} {rest}".rstrip())

    def _event(self, node: str, what: Any) -> str:
        match what:
            case dict():
                return f"promises epoch {what[0]}, on disk"
            case Opened():
                return f"opens log {self._log(what.incarnation)}"
            case Loaded():
                return "loaded the coordinator's log"
            case RoleChanged():
                of = f" of {what.coordinator}" if what.coordinator not in ("", node) else ""
                return f"becomes {what.role.value}{of} in epoch {what.epoch}"
            case Committed():
                return f"commits {_entries(what.entries)}" if what.entries else f"commits nothing new, {what.end}"
            case Repeated():
                return f"drops {_publish(what.publish)}: stands at {_at(what.at)} already"
            case CacheWanted():
                return f"wants the cache of {what.peer}"
            case PublishCommitted():
                return f"confirms {_publish(what.publish)} at {_at(what.at)}"
            case PublishRefused():
                return f"refuses {_publish(what.publish)}: {what.why}"
        raise TypeError(what)

    def _packet(self, node: str, what: Any, to: str) -> str | None:
        match what:
            case Beacon():
                return self._beacon(node, what)
            case Relayed():
                inner = [self._packet(what.origin, packet, what.route[-1]) for packet in decode_relayed(what.payload)]
                by = f" for {what.origin}" if what.origin != node else ""
                return f"relays{by} to {what.route[-1]}: {'; '.join(filter(None, inner))}" if any(inner) else ""
            case Recall():
                return "recall what have you promised?"
            case Recalled():
                return f"recalled epoch {what.promised[0]}"
            case Vote():
                return f"vote for epoch {what.epoch}{', as the coordinator wants it' if what.is_transfer else ''}"
            case Grant():
                synced = "" if what.is_synced else ", not synced"
                return f"grant epoch {what.epoch}, accepted {what.accepted}, {self._state(what.state)}{synced}"
            case Resign():
                return f"resign epoch {what.epoch}"
            case StartEpoch():
                boot = f", for {what.boot}" if what.boot else ""
                return f"start_epoch epoch {what.epoch}, {self._state(what.state)}, committed {what.commit}{boot}"
            case Sync():
                return "sync tell me your log"
            case Append():
                return f"append epoch {what.epoch}, from {what.first}: {_items(what.items)}; committed {what.commit}"
            case AppendOk():
                said = (what.epoch, what.end)
                is_new, self._acked[node, to] = self._acked.get((node, to)) != said, said
                return f"append_ok epoch {what.epoch}, up to {what.end}" if is_new else ""
            case Commit():
                return f"commit epoch {what.epoch}, up to {what.commit}"
            case Reject():
                return f"reject promised {what.promised}"
            case Fetch():
                return f"fetch epoch {what.epoch}, from {what.first}"
            case Range():
                return f"range epoch {what.epoch}, from {what.first}: {_items(what.items)}"
            case Trimmed():
                return f"trimmed epoch {what.epoch}, below {what.base}"
            case Forward():
                return f"forward stream {what.stream}, from {what.first}: {_items(what.items)}"
            case AlreadyCommitted():
                return f"known {_publish(what.publish)} stands at {_at(what.at)}"
        return None

    def _beacon(self, node: str, beacon: Beacon) -> str:
        before = self._takes.get(node)
        for _, epoch, end, commit, _, accepts in beacon.rows:
            self._takes[node] = (epoch, accepts)
            if before is not None and before[0] == epoch and before[1] != accepts:
                takes = "takes publishes" if accepts else "takes no publishes"
                return f"beacon epoch {epoch}, up to {end}, committed {commit}, {takes}"
        return ""

    def _state(self, log: LogState) -> str:
        epochs = " ".join(f"{epoch}:{first}" for epoch, first in log.table)
        return f"log {self._log(log.incarnation)} up to {log.end} ({epochs})" if log.incarnation else "no log"

    def _log(self, incarnation: str) -> str:
        """Logs are named by chance; here L1, L2 in order of appearance."""
        return self._logs.setdefault(incarnation, f"L{len(self._logs) + 1}") if incarnation else "-"


def _split(names: list[str], word: str) -> tuple[list[str], list[str]]:
    at = names.index(word) if word in names else len(names)
    return names[:at], names[at + 1 :]


def _at(position: Position) -> str:
    return f"{position[0]}.{position[1]}"


def _publish(publish: PublishKey) -> str:
    return f"{publish[0]}#{publish[1]}"


def _items(items: list[Item]) -> str:
    return " ".join((item.value or b"").decode() for item in items)


def _entries(entries: list[tuple[Position, Item]]) -> str:
    return ", ".join(f"{_at(at)} {(item.value or b'').decode()}" for at, item in entries)
