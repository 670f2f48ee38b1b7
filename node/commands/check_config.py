"""`whimbrel check-config`: the effective configuration, and all that is wrong with it."""

from __future__ import annotations

import argparse
import sys

from node.commands import configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the configuration in effect as a TOML file, with where each value came from: a line of the file, an "
        "environment variable, a flag, or default. Secrets are ***. What is wrong goes to standard error, all at "
        "once, and the exit code is 2."
    )
    configuration.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from node.settings import warnings
    from node.settings.show import show

    effective = configuration.read(args)
    problems = configuration.problems(effective)
    if not effective.problems:
        sys.stdout.write(show(effective))
        for warning in warnings(effective.settings):
            print(f"whimbrel: warning: {warning}", file=sys.stderr)
    return configuration.report(problems) if problems else 0
