"""`whimbrel publish`: one message, or one for each line of standard input."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from node.commands import arguments, connecting

if TYPE_CHECKING:
    from whimbrel import Client, Published, Status

T = TypeVar("T")

IN_FLIGHT_MAX = 200
"""How many publishes may wait for their acknowledgements at a time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a message, and print its log and position (EPOCH,SEQ) when it is acknowledged: when Kafka has it or, in "
        "a namespace, when the majority of the cluster's voters hold it. Failures that may pass are retried until the "
        "time is up; a retry never makes a duplicate. In the rare case that Kafka has it but the position could not be "
        "read back in time, `- -` is printed. The exit code is 1 if it failed."
    )
    parser.add_argument(
        "subject", metavar="SUBJECT", help="/topic/key, or /topic for a message without a key; /namespace/key"
    )
    parser.add_argument(
        "value", nargs="?", metavar="VALUE", help="the value; `-` sends each line of standard input as a message"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--text", action="store_true", help="the value is text (the default)")
    kind.add_argument("--json", action="store_true", help="the value is JSON: checked before it is sent")
    kind.add_argument("--bytes-base64", action="store_true", help="the value is bytes, given in base64")
    kind.add_argument("--tombstone", action="store_true", help="no value: delete the subject's latest value")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE", help="a header; may be repeated")
    parser.add_argument(
        "--timeout", type=arguments.above_zero, default=30.0, metavar="SECONDS", help="for each message (default: 30)"
    )
    connecting.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from whimbrel import SubjectError, WhimbrelError, subjects

    try:
        subjects.to_key(args.subject)
        if (args.value is None) is not args.tombstone:
            raise ValueError("give a VALUE (`-` for the lines of standard input), or --tombstone without one")
        headers = [_header(text) for text in args.header]
        if args.value not in ("-", None):
            _message(args, args.value)
        teller = connecting.Teller(f", for at most {args.timeout:g} s")
        client = connecting.client(args, lambda status: _tell(teller, status))
    except (SubjectError, ValueError) as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_publish_all(client, args, headers))
    except (WhimbrelError, ValueError) as error:
        connecting.tell(f"{error}")
        return 1
    return 0


async def _publish_all(client: Client, args: argparse.Namespace, headers: list[tuple[str, str]]) -> None:
    """Publish in order, several at a time. The first failure ends it, after all before it are printed."""
    started: asyncio.Queue[asyncio.Task[Published] | None] = asyncio.Queue()
    room = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def start_each() -> None:
        try:
            async for message in _messages(args):
                await room.acquire()
                publishing = client.publish(args.subject, headers=headers, timeout_s=args.timeout, **message)
                started.put_nowait(asyncio.create_task(publishing))
        finally:
            started.put_nowait(None)

    async with client:
        starting = asyncio.create_task(start_each())
        try:
            while (publishing := await started.get()) is not None:
                _print(await publishing)
                room.release()
            await starting
        finally:
            left: list[asyncio.Task[Any]] = [starting, *(task for task in _emptied(started) if task is not None)]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


def _emptied(queue: asyncio.Queue[T]) -> Iterator[T]:
    while not queue.empty():
        yield queue.get_nowait()


async def _messages(args: argparse.Namespace) -> AsyncIterator[dict[str, Any]]:
    if args.value != "-":
        yield _message(args, args.value or "")
        return
    number = 0
    async for line in _lines_of_stdin():
        number += 1
        try:
            message = _message(args, line.rstrip(b"\r\n").decode())
        except UnicodeDecodeError:
            raise ValueError(f"standard input, line {number}: not UTF-8: send bytes with --bytes-base64") from None
        except ValueError as error:
            raise ValueError(f"standard input, line {number}: {error}") from None
        yield message


async def _lines_of_stdin() -> AsyncIterator[bytes]:
    """Lines, a few read ahead. A daemon thread reads them: an interrupt must not wait for the next line."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = threading.Semaphore(IN_FLIGHT_MAX)

    def put(line: bytes | None) -> None:
        room.acquire()
        loop.call_soon_threadsafe(lines.put_nowait, line)

    def read() -> None:
        rest = b""
        try:
            while chunk := os.read(0, 65536):  # not sys.stdin: its lock would delay the end of the process
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    put(line)
            if rest:
                put(rest)
            put(None)
        except RuntimeError:
            pass  # the loop is closed: no more lines are needed

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        room.release()
        yield line


def _message(args: argparse.Namespace, value: str) -> dict[str, Any]:
    """The value as arguments of `Client.publish`.

    Raises:
        ValueError: If it does not fit the flags.
    """
    from whimbrel.values import to_value

    if args.tombstone:
        return {"tombstone": True}
    if args.bytes_base64:
        try:
            return {"data": base64.b64decode(value, validate=True)}
        except ValueError:
            raise ValueError(f"--bytes-base64: not base64: {value!r}") from None
    if args.json:
        try:
            to_value(json_text=value)
        except ValueError as error:
            raise ValueError(f"--json: not JSON: {error}: {value!r}") from None
        return {"json_text": value}
    return {"text": value}


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--header: found {text!r}, expected NAME=VALUE")
    return name, value


def _print(published: Published) -> None:
    if published.at is None:
        print("- -", flush=True)
        connecting.tell("acknowledged: Kafka has the message; its position could not be read back in time")
    else:
        print(published.log, "{},{}".format(*published.at), flush=True)


def _tell(teller: connecting.Teller, status: Status) -> None:
    from whimbrel.events import Connected, Reconnecting

    if isinstance(status, Connected | Reconnecting) and teller.connection(status) and isinstance(status, Connected):
        connecting.tell(f"{status}")
