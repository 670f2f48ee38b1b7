"""`whimbrel keygen`: keys for the traffic between nodes."""

from __future__ import annotations

import argparse

CLUSTER_KEY_BYTES = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a new secret for a cluster. Put it into a file on all its nodes (--cluster-key-file) that nobody "
        "else can read (umask 077; whimbrel keygen > cluster.key). The command keeps no copy."
    )
    parser.add_argument(
        "--node-key",
        action="store_true",
        help="print a new pair of keys for one node instead: the output is its cluster.secret_key_file, which nobody "
        "else may read either, and the public one goes into the cluster.node_keys of all nodes",
    )


def run(args: argparse.Namespace) -> int:
    if args.node_key:
        from mesh.transport.keys import make_pair

        public, secret = make_pair()
        print(f'public = "{public}"\nsecret = "{secret}"')
    else:
        import secrets

        print(secrets.token_urlsafe(CLUSTER_KEY_BYTES))
    return 0
