"""`whimbrel check-config`: the effective configuration, and all that is wrong with it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from node.commands import configuration

if TYPE_CHECKING:
    from node.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the effective configuration as a TOML file, with the source of each value: a line of the file, an "
        "environment variable, a flag, or the default; and the resulting value where the setting leaves it to the "
        "node. Secrets are shown as ***. All mistakes are printed on standard error, and the exit code is then 2."
    )
    configuration.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from node.fit import misfits
    from node.machine import this_machine
    from node.settings import warnings
    from node.settings.show import show

    effective = configuration.read(args)
    problems = configuration.problems(effective)
    if not effective.problems:
        sys.stdout.write(show(effective, in_effect(effective.settings)))
        for warning in (*warnings(effective.settings), *misfits(effective.settings, this_machine())):
            print(f"whimbrel: warning: {warning}", file=sys.stderr)
    return configuration.report(problems) if problems else 0


def in_effect(settings: Settings) -> dict[str, str | int | tuple[str, ...]]:
    """By path, the value in effect on this machine where the configuration leaves it open."""
    from node.fit import worker_count
    from node.machine import this_machine
    from node.settings import cluster_files

    found: dict[str, str | int | tuple[str, ...]] = {**cluster_files.in_effect(settings, os.environ)}
    if not settings.node.workers:
        found["node.workers"] = worker_count(settings, this_machine())
    if settings.cluster.is_on:
        for path, said, address in (
            ("cluster.listen", settings.cluster.listen, settings.cluster.address),
            ("cluster.advertise", settings.cluster.advertise, settings.cluster.advertised),
        ):
            if not said:
                found[path] = address
        if not settings.cluster.voters:
            found["cluster.voters"] = settings.voters
    return found
