"""`whimbrel bench`: a quick load of one's own installation.

Not here: the load (loadtest/quick.py), many thousands of clients, several machines (loadtest/README.md).
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from node.commands import arguments, connecting

if TYPE_CHECKING:
    from loadtest.quick import Load, Outcome
    from loadtest.swarm.receipts import Receipts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Connect clients, publish messages to them for a while, and print the latencies and how many messages were "
        "missing, repeated or out of order. The messages stay in the topic; their keys begin with `bench-`. This "
        "single process handles a few thousand messages per second. The exit code is 1 if anything went wrong."
    )
    parser.add_argument("topic", metavar="TOPIC", help="a topic or namespace into which clients may publish")
    parser.add_argument("--clients", type=_positive, default=100, metavar="N", help="subscribers (default: 100)")
    parser.add_argument(
        "--rate", type=arguments.above_zero, default=200.0, metavar="R", help="messages per second (default: 200)"
    )
    parser.add_argument(
        "--seconds", type=arguments.above_zero, default=10.0, metavar="S", help="for how long (default: 10)"
    )
    parser.add_argument(
        "--broadcast",
        action="store_true",
        help="all clients get every message (default: each its own)",
    )
    connecting.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from loadtest.quick import Load, QuickLoad
    from whimbrel import SubjectError, subjects

    topic = args.topic.strip("/")
    try:
        subjects.to_key(f"/{topic}/bench")
        servers = tuple(connecting.servers(args))
        load = Load(servers, topic, args.clients, args.rate, args.seconds, args.broadcast, connecting.token(args))
        per_message = load.clients if load.broadcast else 1
        connecting.tell(
            f"{load.clients} clients at {', '.join(servers)}; {load.rate:g} messages per second to {per_message} of "
            f"them for {load.seconds:g} s"
        )
        outcome = QuickLoad(load).run()
    except (SubjectError, ValueError) as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(_text(load, outcome))
    return int(bool(outcome.failures) or outcome.received != outcome.expected)


def _text(load: Load, outcome: Outcome) -> str:
    lines = [
        f"connected   {outcome.connected:,} of {load.clients:,} in {outcome.connecting_s:.2f} s",
        f"published   {outcome.published:,} acknowledged in {outcome.lasted_s:.1f} s; "
        f"{_within(outcome.acknowledgements)}",
        f"received    {outcome.received:,} of {outcome.expected:,}; {_within(outcome.deliveries)}",
    ]
    lines += [f"FAILED      {count:,} x {what}" for what, count in outcome.failures.items()]
    return "\n".join(lines) + "\n"


def _within(receipts: Receipts) -> str:
    if not receipts.total:
        return "no times"
    half, most, all_but_few = (receipts.ms(share) for share in (0.5, 0.95, 0.99))
    return f"half within {half:.1f} ms, 95 % within {most:.1f} ms, 99 % within {all_but_few:.1f} ms"


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)
