"""The plan of the demo: three nodes that are one cluster, each started by the usual command, and the file of settings
that they share.

Invariants:
- What is configured for the demo holds for every node, except what makes them one cluster.
- The file has only what differs from the defaults, like a file that a person would write.

Not here: free ports, files, processes (run.py, nodes.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from node.demo.flights import AIRPORTS, FLIGHTS
from node.settings.schema import Namespace, NodeSettings, Settings, Topic
from node.settings.show import statements

NAMES: Final = ("a", "b", "c")
"""Names of the nodes. All are voters, so two of them are enough to commit."""
NOTES: Final = "notes"
"""A Kafka topic that visitors of the page may publish into."""
CHAT: Final = "chat"
"""A namespace: it needs no Kafka, the three nodes are the log."""

_FETCH_WAIT_MS: Final = "40"
"""The embedded Kafka answers a fetch only after this time (node/kafka/embedded.py): shorter costs CPU, longer adds
delay."""
_DRAIN_S: Final = 1.0
"""All nodes of the demo end together: clients have nowhere to move to."""
_TOPICS: Final = (Topic(name=FLIGHTS), Topic(name=AIRPORTS), Topic(name=NOTES, value="text", publish=True))
_SAID_BY_FLAGS: Final = {"node.name", "node.listen", "kafka.bootstrap"}
_OF_THE_CLUSTER: Final = {"cluster.name", "cluster.slots", "cluster.controls"}
"""Keys of the section `cluster` that are in the file; the others are given by flags."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """The addresses of a node of the demo."""

    name: str
    listen: str
    """HOST:PORT of its page and its clients."""
    shown: str
    """The same address as a browser can use it."""
    cluster: str
    """HOST:PORT for the other nodes."""


def settings_of_nodes(settings: Settings, places: Sequence[NodePlan]) -> Settings:
    """The settings that all nodes share, made from those of the demo."""
    return replace(
        settings,
        node=replace(
            settings.node,
            workers=settings.node.workers or 1,
            console=True,
            drain_s=_DRAIN_S if settings.node.drain_s == NodeSettings().drain_s else settings.node.drain_s,
            servers=tuple(f"ws://{place.shown}/v1/ws" for place in places),
            # A page reconnects to another node when its own node dies.
            origins=tuple(dict.fromkeys((*settings.node.origins, *_pages(places)))),
        ),
        kafka=replace(settings.kafka, consumer={"fetch.wait.max.ms": _FETCH_WAIT_MS, **settings.kafka.consumer}),
        topics=settings.topics or _TOPICS,
        namespaces=settings.namespaces or (Namespace(name=CHAT, value="text", publish=True),),
        cluster=replace(settings.cluster, controls=True),
    )


def _pages(places: Sequence[NodePlan]) -> Iterator[str]:
    """Origins of the nodes' pages, under each name that a browser on this machine may use."""
    for place in places:
        host, _, port = place.shown.rpartition(":")
        for name in (host, "127.0.0.1", "localhost"):
            yield f"http://{name}:{port}"


def text_of(settings: Settings) -> str:
    """The file: the settings that differ from the defaults and are not given by the nodes' flags."""
    default = {*statements(Settings())}
    lines = ["# The demo's nodes, all three."]
    header = ""
    for line, path in statements(settings, with_secrets=True):
        if not path:
            header = line or header
        elif (line, path) not in default and not _is_said_by_flags(path):
            lines += ["", header] if header else []
            lines.append(line)
            header = ""
    return "\n".join(lines) + "\n"


def _is_said_by_flags(path: str) -> bool:
    return path in _SAID_BY_FLAGS or (path.startswith("cluster.") and path not in _OF_THE_CLUSTER)


def arguments(place: NodePlan, places: Sequence[NodePlan], bootstrap: str, directory: str) -> list[str]:
    """The command line of a node, after `whimbrel`; `directory` has the files."""
    return [
        *("node", "--name", place.name, "--listen", place.listen, "--kafka", bootstrap),
        *("--cluster-listen", place.cluster, "--join", ",".join(other.cluster for other in places if other != place)),
        *("--voters", ",".join(one.name for one in places), "--cluster-key-file", f"{directory}/key"),
        *("--config", f"{directory}/demo.toml", "--set", f"cluster.data_dir={directory}/{place.name}"),
    ]


def banner(
    places: Sequence[NodePlan], processes: Mapping[str, int], bootstrap: str, directory: str, command: str
) -> str:
    """The text that is printed when all nodes are ready. `command` is how the user calls `whimbrel`."""
    server = f"--server ws://{places[0].shown}"
    pages = [f"http://{place.shown}/" for place in places]
    width = max(len(page) for page in pages) + 3
    rows = "".join(
        f"    {place.name}      {page:{width}}{place.cluster:18}{processes[place.name]}\n"
        for place, page in zip(places, pages, strict=True)
    )
    return (
        f"\n  Whimbrel's demo is running: three nodes, one cluster.\n\n"
        f"    node   {'page':{width}}{'for other nodes':18}process\n{rows}\n"
        f"    a subscription  {command} subscribe '/flights/*' {server}\n"
        f"    a publish       {command} publish /notes/1 'good morning' {server}\n"
        f"    without Kafka   {command} publish /{CHAT}/1 'good morning' {server}\n"
        f"    its Kafka       {bootstrap}  (embedded: in memory, gone at the end)\n"
        f"    its files       {directory}  (settings, key, data; gone at the end)\n\n"
        f"  Open a page and kill the node that it is connected to: by its button there, or kill -9. The map goes on.\n"
        f"  Ctrl-C ends it.\n"
    )
