"""A client that asks for more than anybody needs, to see what others notice: python -m tests.e2e.attacker URL KIND.

It says on standard output when it begins, reads what it gets (but for one kind), and goes when its standard input ends.

Not here: the others (test_bystanders.py).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tests.support.raw import Raw

PUSHY_S = 1.0
LAST: dict[str, Any] = {"from": {"last": 1000}}
CLIENTS = 10
PATTERNS = 200
"""Of each of the clients."""
LOGS = 40_000
LOGS_IN_ONE = 10_000
"""So many logs may be named in one place."""


def subscribe_and_unsubscribe(clients: list[Raw]) -> None:
    """A pattern with all its history, again and again for a second, reading nothing."""
    until = time.monotonic() + PUSHY_S
    while time.monotonic() < until:
        clients[0].send("unsubscribe", sub=clients[0].send("subscribe", subject="/many/*", **LAST))


def latest_of_everything(clients: list[Raw]) -> None:
    """The latest values of many subjects."""
    for _ in range(5):
        clients[0].send("subscribe", subject="/chat/*", **{"from": "latest"})


def many_patterns(clients: list[Raw]) -> None:
    """2,000 patterns with their history."""
    for number in range(1, PATTERNS + 1):
        for index, client in enumerate(clients):
            client.send("subscribe", subject=f"/many/{index}{number % 10}/*", **LAST)


def places_of_many_logs(clients: list[Raw]) -> None:
    """Places in logs that are none."""
    for number in range(LOGS // LOGS_IN_ONE):
        place = {f"{log}.AAAA": [0, 0] for log in range(number * LOGS_IN_ONE, (number + 1) * LOGS_IN_ONE)}
        clients[0].send("subscribe", subject="/many/*", resume=place)


ATTACKS: dict[str, tuple[int, Callable[[list[Raw]], None]]] = {
    "subscribe and unsubscribe": (1, subscribe_and_unsubscribe),
    "latest of everything": (1, latest_of_everything),
    "many patterns": (CLIENTS, many_patterns),
    "places of many logs": (1, places_of_many_logs),
}
"""How many clients, and what they do."""


def main() -> None:
    url, kind = sys.argv[1:]
    count, attack = ATTACKS[kind]
    with ExitStack() as stack:
        clients = [stack.enter_context(Raw(url, max_queue=1)) for _ in range(count)]
        print("begins", flush=True)
        attack(clients)
        for client in clients if attack is not subscribe_and_unsubscribe else []:
            threading.Thread(target=client.until_closed, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
