"""`whimbrel subscribe`: prints messages on standard output as they come, and everything else on standard error."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from node.commands import connecting

if TYPE_CHECKING:
    from whimbrel import Client, Message, Start, Status, Subscription
    from whimbrel.events import Gap

HINT_S = 2.0
"""How long a subject without messages is watched before the command looks for subjects below it."""
LOOK_S = 3.0
"""How long it looks for them."""
FOLD_S = 0.2
"""How long gaps are collected after the first one, to be reported together."""
FOLDED_MIN = 4
"""From this many gaps of one subscription and reason on, one line is printed for all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print messages as they arrive, one line each: time, subject, value. Connections, resumes and gaps are "
        "reported on standard error. Messages missed while there was no connection are printed after the reconnect."
    )
    parser.add_argument(
        "subject", nargs="+", metavar="SUBJECT", help="/topic/key, /topic, or /topic/* and /topic/prefix/* for many"
    )
    parser.add_argument(
        "--from",
        dest="start",
        default="latest",
        metavar="WHERE",
        help="latest (the latest value of each subject, then live; the default), now, last:N, or time:T with T in "
        "milliseconds since 1970 or ISO 8601",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help='one JSON object per message, for programs; what is not UTF-8 in a key or a header is {"base64": ...}',
    )
    parser.add_argument("--count", type=_count, metavar="N", help="stop after N messages")
    parser.add_argument("--quiet", action="store_true", help="report only gaps, errors and unreachable servers")
    connecting.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from whimbrel import SubjectError, WhimbrelError, subjects

    try:
        start = read_start(args.start)
        for subject in args.subject:
            subjects.check(subject)
        teller, gaps = connecting.Teller(quiet=args.quiet), _Gaps()
        client = connecting.client(args, lambda status: _tell(teller, gaps, status, args))
    except (SubjectError, ValueError) as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_print_messages(client, args, start))
    except WhimbrelError as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 1
    finally:
        gaps.tell()
    return 0


def read_start(text: str) -> Start:
    """The start that `--from` names.

    Raises:
        ValueError: If it is unknown; the message lists what is known.
    """
    from whimbrel import Last, Latest, Now, Since

    kind, _, value = text.partition(":")
    try:
        match kind:
            case "latest" | "now" if not value:
                return Latest() if kind == "latest" else Now()
            case "last":
                return Last(_positive(value))
            case "time":
                return Since(int(value) if value.isdecimal() else datetime.fromisoformat(value))
    except ValueError:
        pass
    raise ValueError(f"--from: found {text!r}, expected latest, now, last:N or time:T (milliseconds or ISO 8601)")


async def _print_messages(client: Client, args: argparse.Namespace, start: Start) -> None:
    """Print until the count is reached; the first error of any subscription ends all."""
    printer = _Printer(args.json, args.count)
    async with client:
        printing = [asyncio.create_task(_print_each(client, name, start, printer)) for name in args.subject]
        hints = [] if args.quiet else [_hint(client, name, args.subject, printer) for name in args.subject]
        hinting = [asyncio.create_task(hint) for hint in hints]
        try:
            done, _ = await asyncio.wait(printing, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in printing + hinting:
                task.cancel()
            await asyncio.gather(*printing, *hinting, return_exceptions=True)


async def _print_each(client: Client, subject: str, start: Start, printer: _Printer) -> None:
    subscription: Subscription = await client.subscribe(subject, start=start)
    async for message in subscription:
        if printer.print(message):
            return


async def _hint(client: Client, subject: str, asked: Sequence[str], printer: _Printer) -> None:
    """Say that there are keys below a subject without messages, if there are: `/flights` is not `/flights/*`."""
    from whimbrel import Latest, WhimbrelError

    below = f"{subject}/*"
    await asyncio.sleep(HINT_S)
    if subject.endswith("/*") or below in asked or subject in printer.seen:
        return
    try:
        found = await client.subscribe(below, start=Latest())
        message = await asyncio.wait_for(anext(found), LOOK_S)
        await found.unsubscribe()
    except (WhimbrelError, TimeoutError, StopAsyncIteration):
        return
    if subject not in printer.seen:
        connecting.tell(f"no messages of {subject} itself so far, but of {message.subject}: subscribe to '{below}'")


class _Printer:
    """Prints messages of all subscriptions, up to a count."""

    def __init__(self, as_json: bool, count: int | None) -> None:
        self._line = json_line if as_json else text_line
        self._left = count
        self.seen: set[str] = set()
        """Subjects of the messages so far."""

    def print(self, message: Message) -> bool:
        """Print a message; whether it was the last one."""
        if self._left == 0:
            return True
        self.seen.add(message.subject)
        sys.stdout.write(self._line(message) + "\n")
        sys.stdout.flush()
        if self._left is not None:
            self._left -= 1
        return self._left == 0


def text_line(message: Message) -> str:
    """A message for people: one line, whatever its value."""
    time = "-" if message.time is None else _iso(message.time)
    raw = message.value
    value = "(deleted)" if raw is None else raw.decode("utf-8", "backslashreplace")
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in value)
    return f"{time} {message.subject} {printable}"


def json_line(message: Message) -> str:
    """A message for programs. The value is under `json` (its exact text), `text`, `base64` or `tombstone`."""
    said: dict[str, Any] = {
        "subject": message.subject,
        "topic": message.topic,
        "key": None if message.key is None else _text_or_base64(message.key),
        "time": message.time,
        "log": message.log,
        "at": message.at,
        "prev": message.prev,
        "snapshot": message.snapshot,
        "headers": [[name, None if raw is None else _text_or_base64(raw)] for name, raw in message.headers],
    }
    raw = message.value or b""
    match message.content.kind:
        case "json":
            # A line break inside JSON can only be white space, which JSON text has outside strings alone.
            exact = raw.decode().replace("\n", " ").replace("\r", " ")
            return f'{json.dumps(said, ensure_ascii=False)[:-1]}, "json": {exact}}}'
        case "text":
            said["text"] = raw.decode()
        case "bytes":
            said["base64"] = base64.b64encode(raw).decode()
        case _:
            said["tombstone"] = True
    return json.dumps(said, ensure_ascii=False)


def _text_or_base64(raw: bytes) -> str | dict[str, str]:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _iso(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(time_ms)


class _Gaps:
    """Reports gaps: those of many logs at once, such as all slots of a namespace, in one line."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str, bool], list[Gap]] = {}

    def add(self, gap: Gap) -> None:
        """Take a gap, to be reported in a moment."""
        if not self._pending:
            asyncio.get_running_loop().call_later(FOLD_S, self.tell)
        self._pending.setdefault((gap.interest.subject, gap.why, gap.end is None), []).append(gap)

    def tell(self) -> None:
        """Report the gaps that were not reported yet."""
        pending, self._pending = self._pending, {}
        for (subject, why, is_gone), gaps in pending.items():
            if len(gaps) < FOLDED_MIN:
                for gap in gaps:
                    connecting.tell(f"{gap}")
                continue
            gone = "; the logs are gone" if is_gone else ""
            connecting.tell(f"gap: {subject}: in {len(gaps)} logs, what had not come of them{gone}: {why}")


def _tell(teller: connecting.Teller, gaps: _Gaps, status: Status, args: argparse.Namespace) -> None:
    from whimbrel.events import Closed, Connected, Gap, Live, Reconnecting

    quiet = args.quiet
    interest = getattr(status, "interest", None)
    if interest is not None and interest.subject not in args.subject:
        return  # of a look below a subject
    match status:
        case Reconnecting():
            teller.connection(status)
        case Connected() if teller.connection(status) or not quiet:
            connecting.tell(f"{status}")
        case Gap():
            gaps.add(status)
        case _ if not quiet and not isinstance(status, Closed | Connected | Live):
            connecting.tell(f"{status}")


def _count(text: str) -> int:
    try:
        return _positive(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number, at least 1") from None


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("not a positive number")
    return number
