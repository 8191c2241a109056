"""Two simulated nodes of a Ray cluster, in a process of their own: ``python -m tests.ray_nodes HEAD_CPUS SECOND_CPUS``.

It prints the address, then does what it is told, a word a line: ``kill`` ends the second node, ``add`` starts another one.
At the end of its input the cluster ends.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import Popen

from tests.processes import LIMIT_S, PIPE, read_until, started


@dataclass(frozen=True)
class Nodes:
    """The cluster's process and its address."""

    process: Popen[str]
    address: str

    def tell(self, word: str) -> None:
        """Does a word, and waits until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        read_until(self.process.stdout, f"^{word} done")


@contextmanager
def nodes(head: int = 1, second: int = 2) -> Iterator[Nodes]:
    """Two nodes with so many CPUs; they end with the block."""
    command = [sys.executable, "-m", "tests.ray_nodes", head, second]
    with started(command, stdin=PIPE, stderr=None) as process:
        address = read_until(process.stdout, r"^address (\S+)")[1]
        try:
            yield Nodes(process, address)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=LIMIT_S)


def main(head: int, second: int) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    logging.getLogger("ray").setLevel(logging.ERROR)
    from ray.cluster_utils import Cluster

    memory = 100 * 2**20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head, "object_store_memory": memory})
    other = cluster.add_node(num_cpus=second, object_store_memory=memory)
    print(f"address {cluster.address}", flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "kill":
            cluster.remove_node(other, allow_graceful=False)
        elif word == "add":
            other = cluster.add_node(num_cpus=second, object_store_memory=memory)
        print(f"{word} done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
