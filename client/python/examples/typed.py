"""Messages as objects of one's own, and an answer to each: `python typed.py ws://localhost:8080`."""

import sys
from dataclasses import dataclass
from typing import Any

from whimbrel import BlockingClient, PublishError


@dataclass
class Order:
    """What is published to `/orders/<number>`."""

    item: str
    count: int

    @classmethod
    def read(cls, said: Any) -> "Order":
        """Of JSON.

        Raises:
            ValueError: If it is no order.
        """
        match said:
            case {"item": str(item), "count": int(count)}:
                return cls(item, count)
        raise ValueError(f"not an order: {said!r}")


def main(server: str) -> None:
    """Confirm each order."""
    with BlockingClient(server, on_status=lambda status: print(status, file=sys.stderr)) as client:
        for message in client.subscribe("/orders/*", start="now"):
            order = message.json(Order.read)  # typed: `order.count` is known to be an int
            number = message.subject.removeprefix("/orders/")
            try:
                placed = client.publish(f"/confirmations/{number}", json={"accepted": order.count <= 10})
                print(number, order, "confirmed at", placed.at)
            except PublishError as error:
                print(number, error, "(it may be there)" if error.outcome_unknown else "", file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        pass
