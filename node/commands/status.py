"""`whimbrel status`: the state of a node.

Not here: the text (summary.py), the document of the node (`/v1/status`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.commands import connecting

if TYPE_CHECKING:
    from node.commands.summary import Status

_TIMEOUT_S = 5.0
_BYTES_MAX = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show the state of a node: clients, rates, cache, workers, Kafka with the lag of each partition, the busiest "
        "subjects; and its cluster as it sees it: the members with what they coordinate and feed, and what is wrong. "
        "The exit code is 1 if no server answers."
    )
    connecting.add_server(parser, "asked in turn until one answers")
    parser.add_argument("--json", action="store_true", help="the whole status as one JSON object")


def run(args: argparse.Namespace) -> int:
    return ask(args, lambda body: _text(body, as_json=args.json))


def ask(args: argparse.Namespace, to_text: Callable[[bytes], str]) -> int:
    """Print the status of the first server that answers; the exit code."""
    from http.client import HTTPException

    try:
        addresses = [status_address(server) for server in connecting.servers(args)]
    except ValueError as error:
        print(f"whimbrel: --server: {error}", file=sys.stderr)
        return 2
    for address in addresses:
        try:
            text = to_text(_get(address))
        except (OSError, ValueError, HTTPException) as error:
            print(f"whimbrel: {address}: {_reason(error)}", file=sys.stderr)
            continue
        print(text, end="")
        return 0
    return 1


def status_address(server: str) -> str:
    """The address of a server's status, from any of its addresses.

    Raises:
        ValueError: If it is no address; the message says what was found and what is expected.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(server if "://" in server else f"http://{server}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    try:
        right = scheme in ("http", "https") and parts.hostname and (parts.port or 1) and not parts.query
    except ValueError:
        right = False
    if not right:
        raise ValueError(
            f"found {server!r}, expected ws://HOST:PORT, http://HOST:PORT or HOST:PORT (also wss and https)"
        )
    return f"{scheme}://{parts.netloc}{parts.path.removesuffix('/v1/ws').rstrip('/')}/v1/status"


def _get(address: str) -> bytes:
    from urllib.request import ProxyHandler, Request, build_opener

    request = Request(address, headers={"Accept": "application/json"})
    with build_opener(ProxyHandler({})).open(request, timeout=_TIMEOUT_S) as answer:
        return bytes(answer.read(_BYTES_MAX))


def _text(body: bytes, *, as_json: bool) -> str:
    import msgspec

    from node.commands.summary import summary

    status = decode(body)
    if not as_json:
        return summary(status)
    msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return body.decode().rstrip() + "\n"


def decode(body: bytes) -> Status:
    """The status document of a node.

    Raises:
        ValueError: If it is something else.
    """
    import msgspec

    from node.commands.summary import Status

    try:
        return msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not the status of a node: {error}") from error


def _reason(error: Exception) -> str:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    if isinstance(error, HTTPError):
        return f"answered {error.code} {error.reason}"
    if isinstance(error, URLError):
        reason = error.reason
        return f"cannot be reached: {(isinstance(reason, OSError) and reason.strerror) or reason}"
    if isinstance(error, TimeoutError):
        return f"did not answer within {_TIMEOUT_S:g} s"
    if isinstance(error, (HTTPException, ConnectionResetError, BrokenPipeError)):
        return "does not speak HTTP"
    return (isinstance(error, OSError) and error.strerror) or str(error)
