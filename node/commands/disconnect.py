"""`whimbrel disconnect`: close connections of a node's clients, who come back if they like.

Not here: asking the admin listener (admin.py).
"""

from __future__ import annotations

import argparse
import sys

import msgspec

from node.commands import admin, connections


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Close the connections of a node that match all given options. Clients receive the code 4004 and the reason, "
        "and reconnect; they lose nothing. The exit code is 1 if no admin listener answers."
    )
    connections.add_chosen(parser)
    parser.add_argument("--reason", metavar="TEXT", help="the reason that the clients receive")
    admin.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    query = connections.chosen(args)
    if not query:
        print("whimbrel: --identity, --address or --subject is needed", file=sys.stderr)
        return 2
    if args.reason is not None:
        query["reason"] = args.reason
    return admin.ask(args, "POST", "/v1/disconnect", query, _text)


def _text(body: bytes) -> str:
    return f"closed {connections.counted(msgspec.json.decode(body))}\n"
