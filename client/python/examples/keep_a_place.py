"""Go on where this program was when it ended: `python keep_a_place.py ws://localhost:8080 /flights/*`."""

import asyncio
import json
import sys
from pathlib import Path

from whimbrel import Client, Message, Resume, WhimbrelError
from whimbrel.events import Gap, Reconnecting, Status

PLACE = Path("place.json")


def tell(status: Status) -> None:
    """Say what an operator wants to know."""
    if isinstance(status, Gap | Reconnecting):
        print(status, file=sys.stderr)


def handle(message: Message) -> None:
    """The application's own work."""
    print(message.subject, message.text)


async def main(server: str, subject: str) -> None:
    """Take one message after another, and store how far it has come."""
    start = Resume(json.loads(PLACE.read_text())) if PLACE.exists() else None
    async with Client(server, on_status=tell) as client:
        subscription = await client.subscribe(subject, start=start)
        async for message in subscription:
            handle(message)
            PLACE.write_text(json.dumps(subscription.place))


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:3]))
    except WhimbrelError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        pass
