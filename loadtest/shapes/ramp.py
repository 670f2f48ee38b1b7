"""Users come at an even rate, stay, and go. `-f loadtest/locustfile.py,loadtest/shapes/ramp.py`."""

from __future__ import annotations

from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser

from loadtest.swarm.options import above_zero, how_many


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--ramp-users", type=how_many, default=1000, help="how many users there are in the end")
    parser.add_argument("--ramp-s", type=above_zero, default=60, help="seconds until they are there")
    parser.add_argument("--hold-s", type=above_zero, default=60, help="seconds that they stay")


class Ramp(LoadTestShape):  # type: ignore[misc]
    """Up, and hold."""

    def tick(self) -> tuple[int, float] | None:
        """How many users there are to be, and how many may come per second; None: the end."""
        options = self.runner.environment.parsed_options
        elapsed = self.get_run_time()
        if elapsed > options.ramp_s + options.hold_s:
            return None
        per_s = options.ramp_users / options.ramp_s
        return min(options.ramp_users, int(elapsed * per_s) + 1), max(1.0, per_s)
