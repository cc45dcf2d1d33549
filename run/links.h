// What messages carry to rank 0, where all results end, from other nodes and from neighbours that cannot share memory:
// measured, as nobody states it.
#ifndef FACEGEN_RUN_LINKS_H_
#define FACEGEN_RUN_LINKS_H_

#include <cstdint>
#include <vector>

// From the ranks of one leader to rank 0, while all others send as well: they share rank 0's end.
struct Link {
  std::int64_t bytes, nanoseconds;  // of one round of messages; both 0 for rank 0's own leader, which needs no link
  double bytes_per_s() const { return nanoseconds > 0 ? double(bytes) / double(nanoseconds) * 1e9 : 0; }
};

// Collective. leaders: for each rank, the first rank with the same way to rank 0. Returns, the same on every rank and
// for each rank, its leader's link. Takes nothing where all have rank 0's, else some 0.1 s.
std::vector<Link> measure_links(const std::vector<std::int64_t>& leaders);

#endif  // FACEGEN_RUN_LINKS_H_
