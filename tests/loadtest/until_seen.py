"""A shape for tests: all users come, and go once each has connected and messages have been published and received.

However long a busy machine takes for that, within UNTIL_S. `-f loadtest/locustfile.py,tests/loadtest/until_seen.py`.
"""

from __future__ import annotations

from locust import LoadTestShape

UNTIL_S = 60.0
PUBLISHED, RECEIVED = 10, 60


class UntilSeen(LoadTestShape):  # type: ignore[misc]
    """As many users as `-u` says, until what a test looks for is in the statistics."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """How many users there are to be, and how many may come per second; None: the end."""
        options = self.runner.environment.parsed_options
        least = {"connect": options.num_users, "publish": PUBLISHED, "receive": RECEIVED}
        is_seen = all(self.runner.stats.get(name, "ws").num_requests >= count for name, count in least.items())
        if is_seen or self.get_run_time() > UNTIL_S:
            return None
        return options.num_users, options.spawn_rate
