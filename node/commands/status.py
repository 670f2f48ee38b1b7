"""`whimbrel status`: the state of a node.

Not here: the text (summary.py), asking the admin listener (admin.py), the document (`/v1/status`).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from node.commands import admin

if TYPE_CHECKING:
    from node.commands.summary import StatusDocument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show the state of a node: clients, rates, cache, workers, Kafka with the lag of each partition, the busiest "
        "subjects; and its cluster as it sees it: the members with what they coordinate and feed, and all problems. "
        "The exit code is 1 if no admin listener answers."
    )
    admin.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the whole status as one JSON object")


def run(args: argparse.Namespace) -> int:
    return admin.ask(args, "GET", "/v1/status", {}, lambda body: _text(body, as_json=args.json))


def _text(body: bytes, *, as_json: bool) -> str:
    import msgspec

    from node.commands.summary import summary

    status = decode(body)
    if not as_json:
        return summary(status)
    msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return body.decode().rstrip() + "\n"


def decode(body: bytes) -> StatusDocument:
    """The status document of a node.

    Raises:
        ValueError: If it is something else.
    """
    import msgspec

    from node.commands.summary import StatusDocument

    try:
        return msgspec.json.decode(body, type=StatusDocument)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not the status of a node: {error}") from error
