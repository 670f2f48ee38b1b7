"""CPU by thread, of a process that names its threads."""

import subprocess
import sys
import textwrap

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.threads import Cpu, compilers_s, since, threads, threads_table

BUSY = """
    import pathlib, subprocess, sys, threading, time

    def spin(seconds):
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    def named():
        pathlib.Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("kafka-reader")
        spin(0.2)
        done.wait()

    def unnamed():
        spin(0.1)
        done.wait()

    done = threading.Event()
    both = [threading.Thread(target=each) for each in (named, unnamed)]
    for thread in both:
        thread.start()
    child = subprocess.Popen([sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
                             stdin=subprocess.PIPE)
    while min(time.thread_time(), 1) < 0.1:
        pass
    sys.stdin.read()
    done.set()
    child.stdin.close()
    child.wait()
"""


NONE = Cpu(0, 0)
LEAST = {"node kafka-reader": 0.15, "node thread 1": 0.05, "node hub": 0.05}


@pytest.mark.slow
def test_threads_of_a_process_and_its_children_by_name() -> None:
    command = [sys.executable, "-c", textwrap.dedent(BUSY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        found = threads(process.pid)
        # Below what they take: user and kernel time are each rounded down to hundredths.
        while any(found.get(name, NONE).all_s < least for name, least in LEAST.items()):
            found = threads(process.pid)
        assert set(found) == {"node hub", "node kafka-reader", "node thread 1", "worker 1 main"}
        process.stdin.close()


def test_the_compilers_of_a_jvm_are_seen(real_kafka: RealKafka) -> None:
    assert compilers_s(real_kafka.pid()) > 0


def test_what_was_used_since() -> None:
    before, after = {"a": Cpu(1, 0.5)}, {"a": Cpu(3, 1), "b": Cpu(1, 0)}
    assert since(before, after) == {"a": Cpu(2, 0.5), "b": Cpu(1, 0)}


def test_the_table_is_sorted_and_summed() -> None:
    table = threads_table({"a": Cpu(1, 0.5), "b": Cpu(3, 1), "idle": Cpu(0.001, 0)}, seconds=10, messages=1_000_000)
    rows = [line.split() for line in table.splitlines()[1:]]
    assert rows == [["b", "30.0%", "3.00", "1.00"], ["a", "10.0%", "1.00", "0.50"], ["sum", "40.0%", "4.00", "1.50"]]
