// How a run is cut into pieces: GPUs and shares of the faces for ranks, chunks of a share for devices. Host-only
// arithmetic that every rank repeats with the same result, so that both ends of a transfer know what is in it.
#ifndef FACEGEN_RUN_CHUNKS_H_
#define FACEGEN_RUN_CHUNKS_H_

#include <cstdint>
#include <vector>

// What a rank sees and where it runs.
struct RankGpus {
  int node;                      // equal for ranks of one node
  std::vector<std::int64_t> id;  // of each GPU that it may use: equal ids on one node are one and the same GPU
};

// Shares the GPUs of each node out among its ranks, each GPU to one rank: for each rank, places in its id list.
std::vector<std::vector<int>> assign_gpus(const std::vector<RankGpus>& ranks);

// The faces/s that each rank can compute and bring into rank 0's memory. speeds: what each rank's devices compute;
// nodes: equal for ranks of one node; link_faces_per_s: for each rank, what the network carries from its node to rank
// 0. Where a node computes more than its link carries, its ranks get what it does carry, in proportion to their speeds;
// a rank that computes at all keeps at least 1. Rank 0's node needs no link: its ranks keep their speeds.
std::vector<std::int64_t> cap_by_links(const std::vector<std::int64_t>& speeds, const std::vector<std::int64_t>& nodes,
                                       const std::vector<double>& link_faces_per_s);

// Faces [first, first + faces).
struct Share {
  std::int64_t first, faces;
};

// Cuts n faces into one share a rank, each in proportion to the rank's speed (> 0 for at least one rank; a rank of
// speed 0 gets none).
std::vector<Share> share_out(std::int64_t n, const std::vector<std::int64_t>& speeds);

// Cuts a share into chunks for `devices` devices that each take at most chunk_faces at a time, in the order in which
// they are handed out. Each device's first chunks are small, so that results start to flow early, and so are the last
// ones, so that all devices end together.
std::vector<Share> plan_chunks(Share share, int devices, int chunk_faces);

#endif  // FACEGEN_RUN_CHUNKS_H_
