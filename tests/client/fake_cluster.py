"""A server's end of the protocol, in memory: logs that tests append to, and connections that serve them.

Written for tests of clients, from PROTOCOL alone. It keeps no limits and checks no input.

Not here: sockets (test_python_client.py), faults (test_python_exactly_once.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

Frame = dict[str, Any]


class Record(NamedTuple):
    subject: str
    at: tuple[int, int]
    prev: tuple[int, int] | None


def matches(pattern: str, subject: str) -> bool:
    return subject.startswith(pattern[:-1]) if pattern.endswith("/*") else subject == pattern


class FakeCluster:
    """Logs of records, by name."""

    def __init__(self, *logs: str) -> None:
        self.logs: dict[str, list[Record]] = {log: [] for log in logs}
        self.first_kept: dict[str, int] = dict.fromkeys(logs, 0)
        self.published: dict[tuple[str, int], tuple[str, tuple[int, int]]] = {}
        """Where each (publisher, seq) stands."""
        self.connections: list[FakeConnection] = []

    def append(self, log: str, subject: str) -> Record:
        records = self.logs[log]
        prev = next((record.at for record in reversed(records) if record.subject == subject), None)
        record = Record(subject, (0, len(records)), prev)
        records.append(record)
        for connection in self.connections:
            connection.push(log, record)
        return record

    def head(self, log: str) -> tuple[int, int]:
        return 0, len(self.logs[log]) - 1


class FakeConnection:
    """One client's connection: frames in, frames out in `to_client`."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.to_client: list[Frame] = []
        self.live: dict[int, str] = {}
        self.refuse: dict[str, int] = {}
        """By op: answer it with this code."""
        self.heartbeat_s = 20.0
        cluster.connections.append(self)

    def close(self) -> None:
        self.cluster.connections.remove(self)

    def push(self, log: str, record: Record) -> None:
        if any(matches(subject, record.subject) for subject in self.live.values()):
            self.to_client.append(self.msg(log, record))

    def heartbeat(self) -> None:
        self.to_client.append({"op": "heartbeat", "at": {log: self.cluster.head(log) for log in self.cluster.logs}})

    def receive(self, frame: Frame) -> None:
        op = frame["op"]
        if op in self.refuse:
            self.to_client.append(
                {"op": "error", "id": frame["id"], "code": self.refuse[op], "error": "-", "reason": "-"}
            )
        elif op == "hello":
            limits = {"frame_bytes": 2**20, "subscriptions": 1000, "publishes": 256}
            self.to_client.append(
                {"op": "welcome", "id": frame["id"], "node": "a", "cluster": "c", "heartbeat_s": self.heartbeat_s}
                | {"servers": [], "limits": limits}
            )
        elif op == "subscribe":
            self._subscribe(frame)
        elif op == "unsubscribe":
            self.live.pop(frame["sub"], None)
            self.to_client.append({"op": "unsubscribed", "id": frame["id"], "sub": frame["sub"]})
        elif op == "publish":
            self._publish(frame)

    def msg(self, log: str, record: Record, **more: Any) -> Frame:
        frame = {"op": "msg", "subject": record.subject, "log": log, "at": record.at, "json": {"seq": record.at[1]}}
        return frame | ({} if record.prev is None else {"prev": record.prev}) | more

    def _publish(self, frame: Frame) -> None:
        log = next(iter(self.cluster.logs))
        name = (frame["publisher"], frame["seq"])
        if name not in self.cluster.published:
            self.cluster.published[name] = (log, self.cluster.append(log, frame["subject"]).at)
        log, at = self.cluster.published[name]
        self.to_client.append({"op": "published", "id": frame["id"], "log": log, "at": at})

    def _subscribe(self, frame: Frame) -> None:
        id_, subject, cluster = frame["id"], frame["subject"], self.cluster
        at = {log: cluster.head(log) for log in cluster.logs}
        gaps: list[Frame] = []
        if "resume" in frame:
            at |= dict.fromkeys(cluster.logs, (0, -1)) | {log: tuple(p) for log, p in frame["resume"].items()}
            for log, first in cluster.first_kept.items():
                if at[log][1] < first - 1:
                    gaps.append({"log": log, "from": at[log], "to": (0, first - 1), "why": "retention"})
        answer = "fresh" if "resume" not in frame else "gap" if gaps else "full"
        self.to_client.append(
            {"op": "subscribed", "id": id_, "answer": answer, "at": at} | ({"gaps": gaps} if gaps else {})
        )
        start: dict[str, tuple[int, int]] = at | {gap["log"]: gap["to"] for gap in gaps}
        for log, records in cluster.logs.items():
            matching = [record for record in records if matches(subject, record.subject)]
            if frame.get("from") == "latest":
                latest = {record.subject: record for record in matching}
                for record in latest.values():
                    self.to_client.append(self.msg(log, record, sub=id_, snapshot=True))
            after = [record for record in matching if record.at > start[log]]
            self.to_client += [self.msg(log, record, sub=id_) for record in after]
        self.live[id_] = subject
        self.to_client.append({"op": "live", "sub": id_, "at": {log: cluster.head(log) for log in cluster.logs}})
