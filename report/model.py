"""A model of runs that could not be measured: more than two GPUs, several nodes. All of its assumptions stand at the top.

All results must end in rank 0's memory, so three things bound a run: the GPUs, rank 0's memory, and the network link
into rank 0, which everything that another node computes has to pass.
"""
from dataclasses import dataclass

from sources import FACE_BYTES

# ---- Assumed, not measured
LINK = 25e9          # bytes/s into rank 0: one InfiniBand port of 200 Gbit/s
ROOT_MEMORY = 200e9  # bytes/s that devices and the link together write into rank 0's memory; its data sheet says 600e9
GPUS = 4             # a node, each with a PCIe link of its own


@dataclass
class Prediction:
    nodes: int
    computed: float   # faces/s that all GPUs together can compute
    by_speed: float   # faces/s if shares followed the GPUs' speed alone
    as_built: float   # faces/s with other nodes' shares cut to what the link brings in (run/links.h)
    limit: str        # what bounds as_built


def gpu_rate(n):
    """faces/s of one GPU, host to host, in the longest run that was measured (the version before, as all runs on two GPUs)."""
    return n("one_gpu.262144.faces_per_s")


def start_up(n):
    """Seconds of a run that do not grow with it: the weights in, the first chunk's way through, the last one's."""
    return n("before.1000.seconds") - 1000 / gpu_rate(n)


def two_gpus_at_best(n):
    """Speed-up of two GPUs over one on 65,536 faces where all but the start-up halves."""
    one = n("one_gpu.65536.seconds")
    return one / (start_up(n) + (one - start_up(n)) / 2)


def predict(n, nodes, gpus=GPUS, link=LINK):
    """nodes of some GPUs, each GPU as fast as the measured one."""
    node = gpus * min(gpu_rate(n), n("pcie.out") * 1e9 / FACE_BYTES)
    others, arriving, memory = (nodes - 1) * node, link / FACE_BYTES, ROOT_MEMORY / FACE_BYTES
    # By speed alone every node has the same share, and all but rank 0's pass the link.
    by_speed = min(nodes * node, memory, arriving * nodes / (nodes - 1) if nodes > 1 else memory)
    limits = {f"{nodes * gpus} GPUs": node + others, "the link into rank 0": node + arriving, "rank 0's memory": memory}
    limit = min(limits, key=limits.get)
    return Prediction(nodes, nodes * node, by_speed, limits[limit], limit)
