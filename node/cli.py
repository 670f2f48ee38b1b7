"""The command `whimbrel`.

Each command is a module of node/commands with `add_arguments(parser)` and `run(args) -> exit code`. Only the modules
of commands that are named on the command line are imported, and those import what they need when they run: help is
quick, and `whimbrel subscribe` needs no Kafka.

Exit codes: 0 done; 1 failed; 2 the command line or the configuration is wrong; 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys

COMMANDS = {
    "node": "run a node: it carries Kafka topics and namespaces to clients and back",
    "demo": "run the demo: an embedded Kafka, live data, three nodes and their pages",
    "keygen": "print a new key for the traffic between nodes",
    "check-config": "print the effective configuration and all mistakes in it",
    "subscribe": "print messages as they arrive",
    "publish": "publish messages",
    "status": "show the state of a node and its cluster",
    "connections": "list the clients of a node",
    "disconnect": "close connections of a node's clients",
    "revoke": "revoke tokens on all nodes",
    "token": "print a token with which to try the configured authorizer",
    "topics": "list what clients may subscribe to and publish into",
    "completion": "print a completion script for your shell",
    "bench": "run a short load test and print the latencies",
    "capacity": "estimate how many nodes a load needs",
    "version": "print versions",
}

INTERRUPTED = 130
_OF_OUTPUT = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of writing that are not ours: a closed pipe, a full disk."""


def main() -> int:
    """Run the command of this process's command line; the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an old pip installs without looking
        print("whimbrel needs Python 3.11 or newer; this is " + sys.version.split()[0], file=sys.stderr)
        return 2
    return run(sys.argv[1:])


def run(arguments: list[str]) -> int:
    """Run one command line; the exit code."""
    if not arguments:
        _parser().print_help()
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        parser = _parser()
        parser.parse_args(arguments)  # exits here for help, --version and unknown commands
        parser.error("the command comes first")
    module = importlib.import_module(_module(name))
    command = argparse.ArgumentParser(prog=f"whimbrel {name}", allow_abbrev=False)
    module.add_arguments(command)
    try:
        code = module.run(command.parse_intermixed_args(arguments[1:]))
        sys.stdout.flush()
        return int(code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _OF_OUTPUT or error.filename is not None:
            raise
        # Whatever is left in the buffer would be written once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:  # `whimbrel subscribe ... | head`
            return 0
        print(f"whimbrel: cannot write to standard output: {error.strerror}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    """For the general help, and for errors in the command's name."""
    from importlib.metadata import version

    parser = argparse.ArgumentParser(
        prog="whimbrel",
        description="Carries Apache Kafka to web, mobile and IoT clients over the Internet, and back.",
        epilog="`whimbrel COMMAND --help` describes a command.",
    )
    parser.add_argument("--version", action="version", version=f"whimbrel {version('whimbrel')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """All commands with all their flags."""
    parser = argparse.ArgumentParser(prog="whimbrel")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        importlib.import_module(_module(name)).add_arguments(commands.add_parser(name, help=summary))
    return parser


def _module(command: str) -> str:
    return "node.commands." + command.replace("-", "_")


if __name__ == "__main__":
    sys.exit(main())
