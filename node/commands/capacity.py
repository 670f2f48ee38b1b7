"""`whimbrel capacity`: an estimate of how many nodes a load needs."""

from __future__ import annotations

import argparse
import sys

MANY_MBPS = 8_000
"""What a network of 10 Gbit/s carries well."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Estimate how many nodes a load needs, their utilisation, and the first limit. The estimate follows from "
        "measured costs (loadtest/SCALE.md says how they were measured, and how accurate the model is): measure your "
        "own load, too."
    )
    parser.add_argument("--clients", type=int, required=True, metavar="N", help="connected at the same time")
    parser.add_argument("--rate", type=float, required=True, metavar="N", help="messages per second into the cluster")
    parser.add_argument(
        "--received", type=float, default=1.0, metavar="N", help="messages per second that each client gets (1)"
    )
    parser.add_argument("--publishes", type=float, default=0.0, metavar="N", help="publishes per second, of --rate (0)")
    parser.add_argument("--value-bytes", type=int, default=512, metavar="N", help="size of a value (512)")
    parser.add_argument("--cache-s", type=float, default=600.0, metavar="S", help="seconds that the cache holds (600)")
    parser.add_argument("--cores", type=int, default=8, metavar="N", help="of each machine (8)")
    parser.add_argument(
        "--full", type=float, default=0.6, metavar="SHARE", help="the share of its cores that a node may use (0.6)"
    )
    parser.add_argument("--spare", type=int, default=1, metavar="N", help="how many nodes may be lost (1)")


def run(args: argparse.Namespace) -> int:
    from node.capacity import Load, Machines, plan

    load = Load(args.clients, args.rate, args.received, args.publishes, args.value_bytes, args.cache_s)
    try:
        found = plan(load, Machines(args.cores, args.full, args.spare))
    except ValueError as error:
        print(f"whimbrel capacity: --{error}", file=sys.stderr)
        return 2
    nodes = f"{found.nodes} nodes of {args.cores} cores"
    if found.groups > 1:
        print(
            f"{found.groups} clusters of {nodes}: every node takes in all messages of its cluster, and a node process "
            f"cannot take in {args.rate:,.0f} per second. Share the subjects out over {found.groups} clusters"
        )
    else:
        print(nodes)
    mbps = {
        "to clients": found.to_clients_bps / 1e6,
        "to other nodes": found.mesh_bps / 1e6,
        "from Kafka": found.kafka_bps / 1e6,
    }
    print(f"  their number follows from   {found.why}, of which {args.spare} may be lost")
    print(f"  node process, each          {found.node_share:.0%} of a core")
    print(f"  {found.workers} workers, each             {found.worker_share:.0%} of a core")
    print(f"  memory, each                {found.memory_bytes / 2**30:.1f} GiB")
    for name, rate in mbps.items():
        print(f"  {name:<27} {rate:,.0f} Mbit/s each")
    print(f"  when a node is lost         its clients keep the other nodes busy for {found.rejoin_s:.1f} s, and more")
    if sum(mbps.values()) > MANY_MBPS:
        print(f"the network is the limit: {sum(mbps.values()):,.0f} Mbit/s for each node")
    return 0
