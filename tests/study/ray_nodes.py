"""A Ray cluster of several nodes on this machine, in a process of its own: ray_nodes.py CPUS,GPUS [CPUS,GPUS ...].

The first node is the head. Prints the address, then obeys lines: ``kill N`` ends node N as a power cut would. The end
of the input is the end of the cluster.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}

if __name__ == "__main__":
    cluster = Cluster()
    counts = [map(int, word.split(",")) for word in sys.argv[1:]]
    nodes = [cluster.add_node(num_cpus=cpus, num_gpus=gpus, **SMALL) for cpus, gpus in counts]  # Ray believes it
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for line in sys.stdin:
        cluster.remove_node(nodes[int(line.split()[1])], allow_graceful=False)
        print(line.strip(), flush=True)
    cluster.shutdown()
