"""Nodes are restarted one after the other under load, by a command of yours.

    locust -f loadtest/locustfile.py,loadtest/shapes/rolling_restart.py \\
        --restart 'ssh node{step} systemctl restart whimbrel'

`{step}` is 1, 2, ... A step begins when the command of the one before has ended, and a pause is over; a command that
fails ends the run, and the exit code is 1.
"""

from __future__ import annotations

from subprocess import PIPE, STDOUT

from gevent.subprocess import Popen
from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser

from loadtest.swarm.options import above_zero, how_many


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--restart-users", type=how_many, default=1000, help="how many users there are")
    parser.add_argument("--restart", default="true", metavar="COMMAND", help="restarts node {step}; run by the shell")
    parser.add_argument("--restart-steps", type=how_many, default=3, help="how many nodes there are")
    parser.add_argument("--restart-pause-s", type=above_zero, default=20, help="seconds before, between and after")


class RollingRestart(LoadTestShape):  # type: ignore[misc]
    """The same users all the time."""

    def __init__(self) -> None:
        super().__init__()
        self._step = 0
        self._command: Popen | None = None
        self._idle_since = 0.0
        """When the last command had ended."""

    def tick(self) -> tuple[int, float] | None:
        """As `Ramp.tick`."""
        environment = self.runner.environment
        options, now = environment.parsed_options, self.get_run_time()
        if self._command is not None and (status := self._command.poll()) is not None:
            print(f"step {self._step} ended with {status}: {self._command.stdout.read().decode().strip()[-500:]}")
            self._command, self._idle_since = None, now
            if status:
                environment.process_exit_code = 1
                return None
        if self._command is None and now - self._idle_since >= options.restart_pause_s:
            if self._step == options.restart_steps:
                return None
            self._step += 1
            command = options.restart.replace("{step}", str(self._step))
            print(f"step {self._step} at {now:.0f} s: {command}")
            self._command = Popen(command, shell=True, stdout=PIPE, stderr=STDOUT)
        return options.restart_users, max(1.0, options.restart_users / options.restart_pause_s * 2)
