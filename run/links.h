// What messages carry to rank 0, where all results end: from other nodes, and from ranks of rank 0's own node that cannot
// map its memory. It is measured, as nobody states it.
#ifndef FACEGEN_RUN_LINKS_H_
#define FACEGEN_RUN_LINKS_H_

#include <cstdint>
#include <vector>

// The way of one group of ranks to rank 0, while all other groups send as well: they share rank 0's end.
struct Link {
  std::int64_t bytes, nanoseconds;  // of one round of messages; both 0 for rank 0's own group, which needs no link
  double bytes_per_s() const { return nanoseconds > 0 ? double(bytes) / double(nanoseconds) * 1e9 : 0; }
};

// Collective. leaders: for each rank, the first rank of its group, whose ranks share a way to rank 0. Returns, the same
// on every rank and for each rank, its group's link. Takes some 0.1 s; no time where all ranks are of rank 0's group.
std::vector<Link> measure_links(const std::vector<std::int64_t>& leaders);

#endif  // FACEGEN_RUN_LINKS_H_
