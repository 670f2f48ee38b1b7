"""`whimbrel connections`: the clients of a node.

Not here: asking the admin listener (admin.py), finding them (gateway/sessions/selecting.py).
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from node.commands import admin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the clients of a node: address, identity, subscriptions, and the bytes that are queued for each of "
        "them. The exit code is 1 if no admin listener answers."
    )
    add_chosen(parser)
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="show at most N (default: 100)")
    parser.add_argument("--json", action="store_true", help="print all details as one JSON object")
    admin.add_arguments(parser)


def add_chosen(parser: argparse.ArgumentParser) -> None:
    """Flags that select clients: those that match all given criteria."""
    parser.add_argument("--identity", metavar="NAME", help="the identity that the authorizer has given them")
    parser.add_argument("--address", metavar="HOST[:PORT]", help="their remote address; with the port, one connection")
    parser.add_argument("--subject", metavar="SUBJECT", help="a subject or pattern that they are subscribed to")


def chosen(args: argparse.Namespace) -> dict[str, str]:
    """What was given of these flags."""
    given = {name: getattr(args, name) for name in ("identity", "address", "subject")}
    return {name: value for name, value in given.items() if value is not None}


def run(args: argparse.Namespace) -> int:
    query = chosen(args) | {"limit": str(args.limit)}
    return admin.ask(args, "GET", "/v1/connections", query, _json if args.json else _text)


def _json(body: bytes) -> str:
    msgspec.json.decode(body)
    return body.decode().rstrip() + "\n"


def _text(body: bytes) -> str:
    from node.commands.tables import table

    found: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    rows = [
        (one["address"], one["identity"], one["encoding"], f"{one['subscriptions']:,}", f"{one['waiting_bytes']:,}",
         " ".join(one["subjects"][:3]) + (" …" if one["subscriptions"] > 3 else ""))
        for one in found["connections"]
    ]  # fmt: skip
    lines = table(("address", "identity", "encoding", "subscriptions", "waiting bytes", "subjects"), rows)
    shown = "\n".join(line.rstrip() for line in lines).lstrip("\n") + "\n" if rows else ""
    return shown + counted(found) + "\n"


def counted(found: dict[str, Any]) -> str:
    """How many there are, and whether anybody did not answer."""
    silent = found["workers_silent"]
    number = f"{found['count']:,} connection{'' if found['count'] == 1 else 's'}"
    return number + (f"; {silent} workers did not answer" if silent else "")
