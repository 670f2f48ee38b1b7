"""`whimbrel version`: this version, and those of the libraries that matter in a bug report."""

from __future__ import annotations

import argparse
import json
import platform


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the versions of Whimbrel, of Python and of the main libraries."
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    from importlib.metadata import version

    import confluent_kafka
    from zmq.sugar.version import zmq_version

    versions = {
        "whimbrel": version("whimbrel"),
        "whimbrel-client": version("whimbrel-client"),
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        "confluent-kafka": version("confluent-kafka"),
        "libzmq": zmq_version(),
        "pyzmq": version("pyzmq"),
        "gevent": version("gevent"),
        "platform": platform.platform(),
    }
    if args.json:
        print(json.dumps(versions))
    else:
        width = max(map(len, versions))
        for name, text in versions.items():
            print(f"{name:{width}}  {text}")
    return 0
