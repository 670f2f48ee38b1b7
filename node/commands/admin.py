"""Flags of the commands that ask a node's admin listener, and asking it.

Not here: what is asked for (status.py, connections.py, disconnect.py), the listener (node/admin/).
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from http.client import NOT_FOUND, HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from node.commands.arguments import not_empty

ADDRESS = "http://127.0.0.1:8090"
TIMEOUT_S = 10.0
BYTES_MAX = 64 << 20


class AdminAddress(NamedTuple):
    """Where a listener is."""

    scheme: str
    """http, https or unix."""
    place: str
    """HOST:PORT, or the path of a socket."""
    path: str = ""
    """Before the paths of the API."""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}" if self.scheme == "unix" else f"{self.scheme}://{self.place}{self.path}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--admin` and `--admin-token-file`."""
    parser.add_argument(
        "--admin",
        action="append",
        type=not_empty,
        metavar="ADDRESS[,...]",
        help="admin listeners, asked in turn until one answers: HOST:PORT, http(s)://HOST:PORT or unix:PATH; may be "
        f"repeated (default: WHIMBREL_ADMIN_LISTEN, else {ADDRESS})",
    )
    parser.add_argument(
        "--admin-token-file",
        type=not_empty,
        metavar="FILE",
        help="file with the token (default: WHIMBREL_ADMIN_TOKEN_FILE; else WHIMBREL_ADMIN_TOKEN is it)",
    )


def ask(
    args: argparse.Namespace,
    method: str,
    path: str,
    query: Mapping[str, str],
    to_text: Callable[[bytes], str],
    to_code: Callable[[bytes], int] | None = None,
) -> int:
    """Print what comes of a request at the first listener that answers; the exit code.

    Args:
        to_text: Of the answer's body, what to print.
        to_code: Of the answer's body, the exit code; 0 if not given.
    """
    try:
        addresses = [address_of(one) for one in _named(args)]
        token = _token(args)
    except ValueError as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 2
    for address in addresses:
        try:
            body = _request(address, method, path, query, token)
            text = to_text(body)
        except (OSError, ValueError, HTTPException) as error:
            print(f"whimbrel: {address}{path}: {_reason(error)}", file=sys.stderr)
            continue
        print(text, end="")
        return 0 if to_code is None else to_code(body)
    return 1


def address_of(given: str) -> AdminAddress:
    """A listener's address.

    Raises:
        ValueError: If it is none; the message says what was found and what is expected.
    """
    if given.startswith("unix:/"):
        return AdminAddress("unix", given.removeprefix("unix:"))
    parts = urlsplit(given if "://" in given else f"http://{given}")
    try:
        has_host = parts.hostname and not given.startswith("unix:")
        right = parts.scheme in ("http", "https") and has_host and (parts.port or 1) and not parts.query
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"--admin: found {given!r}, expected HOST:PORT, http(s)://HOST:PORT or unix:PATH")
    return AdminAddress(parts.scheme, parts.netloc, parts.path.rstrip("/"))


def _named(args: argparse.Namespace) -> list[str]:
    named = ",".join(args.admin or ()) or os.environ.get("WHIMBREL_ADMIN_LISTEN") or ADDRESS
    return [one.strip() for one in named.split(",") if one.strip()]


def _token(args: argparse.Namespace) -> str:
    name = args.admin_token_file or os.environ.get("WHIMBREL_ADMIN_TOKEN_FILE")
    if not name:
        return os.environ.get("WHIMBREL_ADMIN_TOKEN", "")
    try:
        return Path(name).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ValueError(f"--admin-token-file: {name} cannot be read: {reason}") from None


class _Refused(ValueError):
    """The listener has answered, and says no."""


def _request(address: AdminAddress, method: str, path: str, query: Mapping[str, str], token: str) -> bytes:
    connection = _connection(address)
    try:
        target = address.path + path + (f"?{urlencode(query)}" if query else "")
        connection.request(method, target, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = answer.read(BYTES_MAX)
        if answer.status != 200:
            plain = body.decode(errors="replace").strip() if len(body) < 300 else ""
            hint = "; the admin listener has a port of its own, by default that of the clients plus 10"
            said = f"answered {answer.status} {answer.reason}" + (f": {plain}" if plain else "")
            raise _Refused(said + (hint if answer.status == NOT_FOUND else ""))
        return body
    finally:
        connection.close()


def _connection(address: AdminAddress) -> HTTPConnection:
    if address.scheme == "https":
        return HTTPSConnection(address.place, timeout=TIMEOUT_S)
    if address.scheme == "http":
        return HTTPConnection(address.place, timeout=TIMEOUT_S)
    connection = HTTPConnection("localhost", timeout=TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(TIMEOUT_S)
    connection.sock.connect(address.place)
    return connection


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"did not answer within {TIMEOUT_S:g} s"
    if isinstance(error, (HTTPException, ConnectionResetError, BrokenPipeError)):
        return "does not speak HTTP"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError):
        return f"does not speak TLS ({(error.reason or str(error)).lower().replace('_', ' ')}): http:// may be meant"
    if isinstance(error, OSError):
        return f"cannot be reached: {error.strerror or error}"
    return str(error)
