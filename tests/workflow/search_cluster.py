"""A Ray cluster of two nodes on this machine, and searches on it, each in a process of its own.

python search_cluster.py cluster             prints its address, ends when its input does
python search_cluster.py search FOLDER ADDRESS METHOD
"""

from __future__ import annotations

import sys

import search_data

CPUS = {"num_cpus": 1, "object_store_memory": 80_000_000}
LONGER = search_data.training(n_steps=60, batch_size=4)


def run(folder, method, **options):
    """Search long enough that there is a time at which to be killed."""
    return search_data.run(folder, method, n_trials=4, loop=LONGER, **options)


def serve():
    """Keep a cluster up until the input ends."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**CPUS, "include_dashboard": False})
    cluster.add_node(**CPUS)
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "cluster":
        serve()
    else:
        folder, address, method = sys.argv[2:]
        run(folder, method, n_workers=2, cluster=address)
