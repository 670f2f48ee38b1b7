"""Clients of a topic for Locust: `locust -f loadtest/locustfile.py --host ws://127.0.0.1:8080 --topic bench`.

Not here: what they do (swarm/users.py), options (swarm/hooks.py), how many there are when (shapes/).
"""

from loadtest.swarm import hooks
from loadtest.swarm.users import Dashboard, Flapping, Publisher, SlowReader, Subscriber

__all__ = ["Dashboard", "Flapping", "Publisher", "SlowReader", "Subscriber", "hooks"]
