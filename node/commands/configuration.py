"""Flags of the commands that read the configuration.

Not here: what they mean (node/settings).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from node.settings import Effective
    from node.settings.layers import Problem

USAGE_ERROR = 2
"""Exit code when the command line or the configuration is wrong."""

_KAFKA = [
    ("--kafka", "HOST:PORT[,...]", "Kafka brokers to begin with"),
    ("--topics", "NAMES", "topics that clients may use, with * and ?"),
    ("--publish", "NAMES", "which of these clients may publish into (into namespaces they may anyway)"),
    ("--namespaces", "NAMES", "first segments of subjects that need no Kafka"),
]
_CLUSTER = [
    ("--cluster-listen", "HOST:PORT", "address for other nodes (default: none, or 127.0.0.1:7400 if there are any)"),
    ("--join", "HOST:PORT[,...]", "nodes of the cluster to join by"),
    ("--voters", "NAMES", "the 1, 3 or 5 nodes whose copies and votes count (default: this one alone)"),
    ("--cluster-key-file", "FILE", "file with the cluster's secret, as whimbrel keygen prints it"),
]
_NAME = [("--name", "NAME", "the node's name (default: the machine's)")]
_NODE = [
    ("--listen", "HOST:PORT", "address for WebSockets and HTTP (default: 127.0.0.1:8080)"),
    ("--admin-listen", "ADDRESS", "for status, metrics, connections, the page (default: 127.0.0.1, that port plus 10)"),
    ("--workers", "N", "gateway worker processes (default: one per core, less one)"),
    ("--log-format", "FORMAT", "text or json (default: text)"),
    ("--log-level", "LEVEL", "debug, info, warning or error (default: info)"),
    ("--set", "KEY=VALUE", "any key of the configuration, such as cache.ttl=5m; repeatable"),
]


class _InOrder(argparse.Action):
    """Appends (flag, value) to one list, so that the last of any flags wins."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        said = getattr(namespace, self.dest)
        setattr(namespace, self.dest, (*said, (self.option_strings[0], str(values))))


def add_arguments(parser: argparse.ArgumentParser, *, kafka: bool = True) -> None:
    """Add the flags; without Kafka, cluster and name for a command that sets these itself."""
    parser.add_argument("--config", metavar="FILE", help="TOML file (default: what WHIMBREL_CONFIG names)")
    for flag, metavar, text in (_KAFKA + _CLUSTER + _NAME if kafka else []) + _NODE:
        parser.add_argument(flag, metavar=metavar, help=text, dest="flags", action=_InOrder, default=())


def read(args: argparse.Namespace) -> Effective:
    """The configuration from the file, the environment and the flags."""
    import socket

    from node.settings import load

    return load(args.config, os.environ, args.flags, socket.gethostname())


def problems(effective: Effective) -> list[Problem]:
    """Everything that is wrong, or missing for a node to run."""
    from node.settings import cluster_files, librdkafka, plugins, tls_files

    found = [
        *librdkafka.problems(effective),
        *cluster_files.problems(effective),
        *plugins.problems(effective),
        *tls_files.problems(effective),
    ]
    return effective.problems + found + effective.missing()


def report(problems: Iterable[Problem]) -> int:
    """Print all problems in the order of their sources; the exit code."""
    from node.settings.effective import in_order

    lines = [str(problem) for problem in in_order(problems)]
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    print(f"whimbrel: {count} in the configuration", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)
    return USAGE_ERROR
