"""`whimbrel node`: carry topics of a Kafka to clients and back."""

from __future__ import annotations

import argparse

from node.commands import configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Carry topics of a Kafka to clients over WebSockets, and back. Settings come from a TOML file, then the\n"
        "environment (WHIMBREL_CACHE_TTL=5m), then flags; the last has the last word."
    )
    parser.epilog = (
        "examples:\n"
        "  whimbrel node --kafka localhost:9092 --topics 'flights,orders.*'\n"
        "  whimbrel node --kafka localhost:9092 --topics 'flights,notes:text' --publish notes --listen 0.0.0.0:8080\n"
        "  whimbrel node --config whimbrel.toml --set cache.bytes=2GiB\n\n"
        "SIGTERM or Ctrl-C drains: clients are told to move, then the node ends. A second one stops at once."
    )
    configuration.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from node.settings import librdkafka

    effective = configuration.read(args)
    problems = effective.problems + librdkafka.problems(effective) + effective.missing()
    if problems:
        return configuration.report(problems)
    from node.main import run_node

    return run_node(effective.settings)
