"""Locust's hooks: options, sums over workers, limits that decide the exit code, the report.

Importing it is enough. What was received is added to Locust's statistics in sums. Workers send it with each of Locust's
reports; so the percentiles of `receive` in the report and in limits are those of all messages of all workers.

Not here: the users (users.py).
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import StatsEntry, bucket_response_time

from loadtest.swarm.limits import Limit, exceeded, parse
from loadtest.swarm.options import above_zero, how_many
from loadtest.swarm.report import Moment, Report, write
from loadtest.swarm.totals import TOTALS, Totals
from whimbrel.servers import server_url

CUT = "whimbrel_cut"
"""The message that tells workers to cut the connections of all their users."""
SAMPLE_S = 3.0
"""As often as workers report to their master."""
ADD_S = 0.5
"""How often what was received is added to Locust's statistics."""


class Watch:
    """What the process that decides (the only one, or the master) knows of the run."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.all = Totals()
        self.moments: list[Moment] = []
        self._began = self._last = time.monotonic()
        self._fresh = Totals()
        """Since the last moment."""

    def add(self, taken: dict[str, Any]) -> None:
        """What a worker, or this process, has seen."""
        self.all.merge(taken)
        self._fresh.merge(taken)

    def run(self) -> None:
        """Keep a moment every few seconds."""
        while True:
            gevent.sleep(SAMPLE_S)
            self.keep_moment()

    @property
    def since_moment_s(self) -> float:
        return time.monotonic() - self._last

    def keep_moment(self) -> None:
        """What was going on since the last one."""
        now, runner = time.monotonic(), self.environment.runner
        if not isinstance(runner, MasterRunner):
            self.add(_taken(self.environment))
        fresh, self._fresh = self._fresh, Totals()
        last, self._last = self._last, now
        moment = Moment(
            at_s=now - self._began,
            users=runner.user_count if runner else 0,
            received_per_s=fresh.receipts.total / (now - last),
            p50_ms=fresh.receipts.ms(0.5),
            p99_ms=fresh.receipts.ms(0.99),
            faults=fresh.faults.total(),
        )
        self.moments.append(moment)

    def percentile_ms(self, name: str, share: float) -> float | None:
        """Of all requests of that name so far."""
        if name == "receive":
            return self.all.receipts.ms(share)
        entry = self.environment.stats.get(name, "ws")
        return float(entry.get_response_time_percentile(share)) if entry.num_requests else None

    def failures(self) -> int:
        return int(self.environment.stats.total.num_failures)

    def report(self, limits: list[Limit], over: list[tuple[Limit, str]]) -> Report:
        """All of it; `over` are the limits that were exceeded."""
        stats, found = self.environment.stats, dict(over)
        return Report(
            requests={
                name: (
                    entry.num_requests,
                    entry.num_failures,
                    [self.percentile_ms(name, share) for share in (0.5, 0.95, 0.99)],
                )
                for (name, _), entry in sorted(stats.entries.items())
            },
            moments=self.moments,
            receipts=dict(self.all.receipts.counts),
            faults=dict(self.all.faults),
            errors={f"{error.name}: {error.error}": error.occurrences for error in stats.errors.values()},
            limits=[(str(limit), found.get(limit, "")) for limit in limits],
        )


_watch: dict[int, Watch] = {}
"""By environment: Locust hands only that to its hooks, and to some not even that."""
_loaded: dict[int, Environment] = {}
"""Those whose users are in this process."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--topic", default="bench", help="topic, or namespace, of all subjects")
    parser.add_argument("--keys", type=how_many, default=1000, help="how many keys it has: k00000, k00001, ...")
    parser.add_argument("--rate", type=above_zero, default=1.0, help="publishes per second of each publisher")
    parser.add_argument(
        "--flap-s", type=above_zero, default=10.0, help="seconds between losses of a flapping client's connection"
    )
    parser.add_argument("--encoding", choices=("json", "msgpack"), default="json", help="sub-protocol")
    parser.add_argument("--token", default="", help="for the server's authorizer", is_secret=True)
    parser.add_argument(
        "--limit", action="append", default=[], type=_limit, metavar="WHAT=MOST", include_in_web_ui=False,
        help="NAME.pNN=MILLISECONDS or failures=N; the exit code is 1 when one is exceeded; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--report", default="", metavar="DIRECTORY", help="where a report with plots is written at the end"
    )


def _limit(text: str) -> str:
    """The text, when it is a limit: a master sends its options to its workers, which take plain data only."""
    try:
        parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


@events.init.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    try:
        for server in (environment.host or "").split(","):
            server_url(server or "127.0.0.1")
    except ValueError as error:
        sys.exit(f"--host: {error}")
    runner = environment.runner
    if not isinstance(runner, MasterRunner) and runner is not None:
        runner.register_message(CUT, _cut)
        _loaded[id(environment)] = environment
        gevent.spawn(_add_often, environment)
    if not isinstance(runner, WorkerRunner):
        watch = _watch[id(environment)] = Watch(environment)
        gevent.spawn(watch.run)


@events.reset_stats.add_listener  # type: ignore[untyped-decorator]
def reset(**_: Any) -> None:
    """Begin anew, as Locust's own statistics do."""
    TOTALS.fresh()
    TOTALS.take()
    for watch in _watch.values():
        watch.all.take()


@events.spawning_complete.add_listener  # type: ignore[untyped-decorator]
def spawned(**_: Any) -> None:
    gc.collect()
    gc.freeze()  # a collection over thousands of users would look like latency
    if any(watch.environment.reset_stats for watch in _watch.values()):
        reset()


@events.report_to_master.add_listener  # type: ignore[untyped-decorator]
def tell(client_id: str, data: dict[str, Any], **_: Any) -> None:
    for environment in _loaded.values():
        data["whimbrel"] = _taken(environment)


@events.worker_report.add_listener  # type: ignore[untyped-decorator]
def told(client_id: str, data: dict[str, Any], **_: Any) -> None:
    for watch in _watch.values():
        watch.add(data["whimbrel"])


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def stopping(environment: Environment, **_: Any) -> None:
    """Keep the last moment while the users are still there, unless there was one just now."""
    watch = _watch.get(id(environment))
    if watch is not None and (not watch.moments or watch.since_moment_s > SAMPLE_S / 2):
        watch.keep_moment()


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def stopped(environment: Environment, **_: Any) -> None:
    if id(environment) in _loaded:
        _add(environment)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def decide(environment: Environment, **_: Any) -> None:
    watch = _watch.get(id(environment))
    if watch is None:
        return
    if not isinstance(environment.runner, MasterRunner):
        watch.add(_taken(environment))
    options = environment.parsed_options
    limits = [parse(text) for text in options.limit]
    over = exceeded(limits, watch.percentile_ms, watch.failures())
    for limit, found in over:
        print(f"limit {limit}: exceeded: {found}")
    if over:
        environment.process_exit_code = 1
    elif any(not limit.name for limit in limits):
        environment.process_exit_code = 0  # so many failures are allowed
    if options.report:
        print(f"report: {write(Path(options.report), watch.report(limits, over))}")


def _cut(environment: Environment, msg: Any, **_: Any) -> None:
    """Cut a share of the users' connections, at once."""
    users = list(TOTALS.users)
    for user in users[: int(len(users) * float(msg.data))]:
        user.cut()


def _add_often(environment: Environment) -> None:
    while True:
        gevent.sleep(ADD_S)
        _add(environment)


def _add(environment: Environment) -> None:
    """Add what was received to Locust's statistics, which else would cost more than receiving it."""
    counts, size = TOTALS.fresh()
    if not counts:
        return
    stats, now, count = environment.stats, time.time(), sum(counts.values())
    batch = StatsEntry(stats, "receive", "ws")
    batch.num_requests, batch.total_content_length, batch.last_request_timestamp = count, size, now
    batch.num_reqs_per_sec[int(now)] = count
    batch.total_response_time = sum(us * messages for us, messages in counts.items()) / 1000
    batch.min_response_time, batch.max_response_time = min(counts) / 1000, max(counts) / 1000
    for us, messages in counts.items():
        batch.response_times[bucket_response_time(us / 1000)] += messages
    for entry in (stats.total, stats.get("receive", "ws")):
        entry.extend(batch)


def _taken(environment: Environment) -> dict[str, Any]:
    """All that this process has seen since the last time; Locust's statistics have it then, too."""
    _add(environment)
    return TOTALS.take()
