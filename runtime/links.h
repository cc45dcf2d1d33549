// What the network carries from other nodes to rank 0, where all results end: measured, as nobody states it.
#ifndef FACEGEN_RUNTIME_LINKS_H_
#define FACEGEN_RUNTIME_LINKS_H_

#include <cstdint>
#include <vector>

// From one other node to rank 0, while all other nodes send as well: they share rank 0's end.
struct Link {
  std::int64_t bytes, nanoseconds;  // of one round of messages; both 0 for rank 0's own node, which needs no link
  double bytes_per_s() const { return nanoseconds > 0 ? double(bytes) / double(nanoseconds) * 1e9 : 0; }
};

// Collective. leaders: for each rank, the first rank of its node. Returns, the same on every rank and for each rank,
// the link of its node. Takes nothing on one node, and well below 100 ms on several: about 25 ms over 1 GB/s.
std::vector<Link> measure_links(const std::vector<std::int64_t>& leaders);

#endif  // FACEGEN_RUNTIME_LINKS_H_
