"""`whimbrel demo`: an embedded Kafka, live data, three nodes that are one cluster, and a page to look at."""

from __future__ import annotations

import argparse

from node.commands import configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Start an embedded Kafka, replay a day of flights into it, start three nodes, a, b and c, that carry them as "
        "one cluster, and print the addresses of their pages. A node that dies is restarted. Settings apply to all "
        "three; they listen on the port of --listen and on the next two. The demo needs nothing else, and leaves no "
        "files behind."
    )
    configuration.add_arguments(parser, kafka=False)


def run(args: argparse.Namespace) -> int:
    effective = configuration.read(args)
    if effective.problems:
        return configuration.report(effective.problems)
    from node.demo.run import run_demo

    return run_demo(effective.settings)
