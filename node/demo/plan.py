"""What the demo starts: three nodes that are one cluster, each by the command that anybody would use, and one file of
settings that they share.

Invariants:
- Whatever was configured for the demo holds for every node, but for what makes them one cluster.
- The file has only what differs from the defaults, so that it reads like a file that somebody wrote.

Not here: free ports, files, processes (run.py, nodes.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from node.demo.flights import AIRPORTS, FLIGHTS
from node.settings.schema import Namespace, Node, Settings, Topic
from node.settings.show import statements

NAMES: Final = ("a", "b", "c")
"""Of the nodes: all are voters, so two of them are enough to go on."""
NOTES: Final = "notes"
"""A Kafka topic for whoever looks at the page to publish into."""
CHAT: Final = "chat"
"""A namespace: no Kafka, the three nodes are the log."""

_FETCH_WAIT_MS: Final = "40"
"""The embedded Kafka answers a fetch only after this (node/kafka/embedded.py): shorter costs it CPU, longer delays."""
_DRAIN_S: Final = 1.0
"""The demo ends with all its nodes: there is nowhere for clients to move to."""
_TOPICS: Final = (Topic(name=FLIGHTS), Topic(name=AIRPORTS), Topic(name=NOTES, value="text", publish=True))
_SAID_BY_FLAGS: Final = {"node.name", "node.listen", "kafka.bootstrap"}
_OF_THE_CLUSTER: Final = {"cluster.name", "cluster.slots", "cluster.controls"}
"""What of the cluster the file says; flags say all the rest."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node of the demo is."""

    name: str
    listen: str
    """HOST:PORT of its page and its clients."""
    shown: str
    """The same, as a browser can use it."""
    cluster: str
    """HOST:PORT for the other nodes."""


def settings_of_nodes(settings: Settings, places: Sequence[Place]) -> Settings:
    """What all the nodes share, made of what was configured for the demo."""
    return replace(
        settings,
        node=replace(
            settings.node,
            workers=settings.node.workers or 1,
            drain_s=_DRAIN_S if settings.node.drain_s == Node().drain_s else settings.node.drain_s,
            servers=tuple(f"ws://{place.shown}/v1/ws" for place in places),
            # A page goes on at another node when its own dies.
            origins=tuple(dict.fromkeys((*settings.node.origins, *_pages(places)))),
        ),
        kafka=replace(settings.kafka, consumer={"fetch.wait.max.ms": _FETCH_WAIT_MS, **settings.kafka.consumer}),
        topics=settings.topics or _TOPICS,
        namespaces=settings.namespaces or (Namespace(name=CHAT, value="text", publish=True),),
        cluster=replace(settings.cluster, controls=True),
    )


def _pages(places: Sequence[Place]) -> Iterator[str]:
    """Origins of the nodes' pages, by whatever name this machine's own browser calls it."""
    for place in places:
        host, _, port = place.shown.rpartition(":")
        for name in (host, "127.0.0.1", "localhost"):
            yield f"http://{name}:{port}"


def text_of(settings: Settings) -> str:
    """The file: what differs from the defaults, without what the nodes' flags say."""
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


def arguments(place: Place, places: Sequence[Place], bootstrap: str, directory: str) -> list[str]:
    """The command line of a node, after `whimbrel`. The files are in the directory."""
    return [
        *("node", "--name", place.name, "--listen", place.listen, "--kafka", bootstrap),
        *("--cluster-listen", place.cluster, "--join", ",".join(other.cluster for other in places if other != place)),
        *("--voters", ",".join(one.name for one in places), "--cluster-key-file", f"{directory}/key"),
        *("--config", f"{directory}/demo.toml", "--set", f"cluster.data_dir={directory}/{place.name}"),
    ]


def banner(places: Sequence[Place], processes: Mapping[str, int], bootstrap: str, directory: str, command: str) -> str:
    """What is printed when all is ready. `command` is how `whimbrel` is called."""
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
