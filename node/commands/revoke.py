"""`whimbrel revoke`: tokens that are good no longer, on all nodes.

Not here: asking the admin listener (admin.py), how all nodes hear of it (mesh/revocations.py).
"""

from __future__ import annotations

import argparse
import sys

import msgspec

from node.commands import admin

UNCONFIRMED = 3
"""Exit code: revoked, but some nodes have not confirmed it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Revoke the tokens that match all given options: their connections end with code 4202, on all nodes, and the "
        "tokens are refused for as long as one of them could live (authorizer.token_life). The exit code is 1 if no "
        "admin listener answers, and 3 if the tokens are revoked but not all nodes have confirmed it within 2 s."
    )
    parser.add_argument("--token-id", metavar="ID", help="the token with this jti")
    parser.add_argument("--subject", metavar="NAME", help="tokens of this name (sub)")
    parser.add_argument(
        "--issued-before",
        metavar="TIME",
        help="tokens made before this time, which is past: 2026-01-31T12:00:00Z, or seconds since 1970 (default: now; "
        "with --token-id: whenever)",
    )
    admin.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    given = {"token_id": args.token_id, "subject": args.subject, "issued_before": args.issued_before}
    query = {name: value for name, value in given.items() if value is not None}
    if not query:
        print("whimbrel: --token-id, --subject or --issued-before is needed", file=sys.stderr)
        return 2
    return admin.ask(args, "POST", "/v1/revoke", query, _text, _code)


def _text(body: bytes) -> str:
    answer = msgspec.json.decode(body)
    confirmed, unconfirmed = answer["confirmed"], answer["unconfirmed"]
    lines = ["revoked" + (f"; confirmed by {', '.join(confirmed)}" if confirmed else "")]
    if unconfirmed:
        lines.append(f"NOT confirmed by {', '.join(unconfirmed)}: each takes it as soon as it can be reached")
    return "\n".join(lines) + "\n"


def _code(body: bytes) -> int:
    return UNCONFIRMED if msgspec.json.decode(body)["unconfirmed"] else 0
