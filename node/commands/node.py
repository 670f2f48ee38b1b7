"""`whimbrel node`: carry Kafka topics, and the namespaces of the cluster itself, to clients and back."""

from __future__ import annotations

import argparse

from node.commands import configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Carry Kafka topics to clients over WebSockets, and back; and namespaces, which need no Kafka. Nodes that\n"
        "join each other form a cluster. Settings come from a TOML file, the environment (WHIMBREL_CACHE_TTL=5m)\n"
        "and flags; flags override the environment, which overrides the file."
    )
    parser.epilog = (
        "examples:\n"
        "  whimbrel node --kafka localhost:9092 --topics 'flights,orders.*'\n"
        "  whimbrel node --kafka localhost:9092 --topics 'flights,notes' --publish notes --listen 0.0.0.0:8080\n"
        "  whimbrel node --config whimbrel.toml --set cache.bytes=2GiB\n"
        "  umask 077; whimbrel keygen > cluster.key\n"
        "  whimbrel node --name a --voters a,b,c --cluster-listen 192.0.2.1:7400 --join 192.0.2.2:7400 \\\n"
        "      --cluster-key-file cluster.key --namespaces chat\n\n"
        "SIGTERM or Ctrl-C drains: clients are told to move, then the node ends. A second one stops at once."
    )
    configuration.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    effective = configuration.read(args)
    problems = configuration.problems(effective)
    if problems:
        return configuration.report(problems)
    from node.main import run_node

    return run_node(effective.settings)
