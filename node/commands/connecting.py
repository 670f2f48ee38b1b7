"""Flags of the commands that are clients: servers and token; and messages about the connection."""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from node.commands.arguments import not_empty

if TYPE_CHECKING:
    from whimbrel import Client
    from whimbrel.client import OnStatus
    from whimbrel.events import Connected, Reconnecting

SERVER = "ws://127.0.0.1:8080"

QUIET_S = 10.0
"""How long `--quiet` hides that no server can be reached."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--server` and `--token`."""
    parser.add_argument(
        "--server",
        action="append",
        type=not_empty,
        metavar="URL[,...]",
        help="servers, any of which may be used: ws://HOST:PORT, http://HOST:PORT or HOST:PORT; may be repeated "
        f"(default: WHIMBREL_SERVER, else {SERVER})",
    )
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--token", type=not_empty, help="for a node that asks for one (default: WHIMBREL_TOKEN)")
    given.add_argument(
        "--token-file",
        type=not_empty,
        metavar="FILE",
        help="file with the token, read anew whenever one is wanted (default: WHIMBREL_TOKEN_FILE)",
    )


def servers(args: argparse.Namespace) -> list[str]:
    """The servers from the arguments, else from the environment, else the default."""
    named = ",".join(args.server or ()) or os.environ.get("WHIMBREL_SERVER") or SERVER
    return [server.strip() for server in named.split(",") if server.strip()]


def token(args: argparse.Namespace) -> str | None:
    """The token from the arguments, else from the environment.

    Raises:
        ValueError: If it is in a file that cannot be read.
    """
    path = token_file(args)
    return read_token(path) if path is not None else args.token or os.environ.get("WHIMBREL_TOKEN") or None


def token_file(args: argparse.Namespace) -> str | None:
    """The file with the token, from the arguments, else from the environment."""
    return args.token_file or (not args.token and os.environ.get("WHIMBREL_TOKEN_FILE")) or None


def client(args: argparse.Namespace, on_status: OnStatus | None = None) -> Client:
    """A client for these arguments.

    Raises:
        ValueError: If a server is not an address, or a file cannot be read; the message says which.
    """
    from whimbrel import Client

    given, path = token(args), token_file(args)
    get_token = None if path is None else functools.partial(read_token, path)
    return Client(
        servers(args),
        token=given if path is None else None,
        get_token=get_token,
        client_name="whimbrel-command",
        on_status=on_status,
    )


def read_token(path: str) -> str:
    """The token in a file.

    Raises:
        ValueError: If it cannot be read, or there is none in it.
    """
    try:
        found = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ValueError(f"--token-file: {path} cannot be read: {reason}") from None
    if not found:
        raise ValueError(f"--token-file: {path} is empty")
    return found


class Teller:
    """Prints why there is no connection: each reason once, until there is a connection again."""

    def __init__(self, how_long: str = "", quiet: bool = False) -> None:
        """Print nothing yet.

        Args:
            how_long: How long it is tried: goes after "trying again".
            quiet: Print nothing until there has been no connection for `QUIET_S`.
        """
        self.reason = ""
        """Why there is no connection; empty while there is one."""
        self._how_long = how_long
        self._quiet = quiet
        self._told: set[str] = set()
        self._patience: asyncio.TimerHandle | None = None

    def connection(self, status: Connected | Reconnecting) -> bool:
        """Take a change of the connection; whether a lost connection has been reported."""
        from whimbrel.events import Connected

        if isinstance(status, Connected):
            had_told, self.reason = bool(self._told), ""
            self._told.clear()
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
            return had_told
        self.reason = f"{status.code} {status.reason}" if status.code else status.reason
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(QUIET_S, self._tell)
        if not self._quiet or self._told:
            self._tell()
        return bool(self._told)

    def _tell(self) -> None:
        if self.reason and self.reason not in self._told:
            self._told.add(self.reason)
            tell(f"{self.reason}; trying again{self._how_long}")


def tell(text: str) -> None:
    """Print a line on standard error."""
    print(f"whimbrel: {text}", file=sys.stderr, flush=True)
