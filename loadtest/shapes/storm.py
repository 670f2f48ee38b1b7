"""All connections are cut at once, again and again. `-f loadtest/locustfile.py,loadtest/shapes/storm.py`.

`resume` in the report is how long it took until the subscriptions were live again.
"""

from __future__ import annotations

from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser

from loadtest.swarm.hooks import CUT
from loadtest.swarm.options import above_zero, how_many, share_of_all


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--storm-users", type=how_many, default=1000, help="how many users there are")
    parser.add_argument("--storms", type=how_many, default=2, help="how often their connections are cut")
    parser.add_argument("--storm-share", type=share_of_all, default=1.0, help="the share of them that is cut")
    parser.add_argument("--storm-every-s", type=above_zero, default=30, help="seconds before, between and after")


class Storm(LoadTestShape):  # type: ignore[misc]
    """The same users all the time; what changes are their connections."""

    def __init__(self) -> None:
        super().__init__()
        self._cut = 0

    def tick(self) -> tuple[int, float] | None:
        """As `Ramp.tick`."""
        options = self.runner.environment.parsed_options
        if (passed := int(self.get_run_time() / options.storm_every_s)) > options.storms:
            return None
        if passed > self._cut:
            self._cut = passed
            self.runner.send_message(CUT, options.storm_share)
        return options.storm_users, max(1.0, options.storm_users / options.storm_every_s * 2)
