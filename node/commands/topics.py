"""`whimbrel topics`: what clients may subscribe to and publish into.

Not here: asking a node (admin.py), partitions and their lag (`whimbrel status`).
"""

from __future__ import annotations

import argparse

from node.commands import admin, status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the topics of Kafka and the namespaces that a node carries: the subjects, what values are, whether "
        "clients may publish, partitions and messages per second. The exit code is 1 if no admin listener answers."
    )
    admin.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return admin.ask(args, "GET", "/v1/status", {}, _text)


def _text(body: bytes) -> str:
    from node.commands.tables import table

    found = status.decode(body)
    rows = [
        (f"/{topic.topic}/*", "Kafka", topic.value, "yes" if topic.publish else "no", f"{len(topic.partitions)}",
         f"{sum(partition.messages_per_s for partition in topic.partitions):,.1f}")
        for topic in found.kafka.topics
    ]  # fmt: skip
    rows += [
        (f"/{one.name}/*", "namespace", one.value, "yes" if one.publish else "no", "", "") for one in found.namespaces
    ]
    lines = table(("subjects", "source", "value", "publish", "partitions", "msg/s"), rows)
    return "\n".join(line.rstrip() for line in lines).lstrip("\n") + "\n" if rows else "no topics\n"
