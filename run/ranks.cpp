#include "run/ranks.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "common/limits.h"
#include "run/cpus.h"
#include "run/launch.h"

namespace {

std::string host_name() {
  char name[256] = "?";
  gethostname(name, sizeof name - 1);
  return name;
}

// Options of mpirun hold for the whole job, but not every rank sees them.
void undo_default_binding() {
  bool by_default = false;
  for (const std::int64_t binding : all_gather(std::int64_t(mpirun_binding()))) {
    if (binding == std::int64_t(Binding::kAsked)) return;
    by_default = by_default || binding == std::int64_t(Binding::kDefault);
  }
  if (by_default) daemon_cpus().take();  // best effort
}

}  // namespace

void Transfers::wait_all() {
  while (!empty()) poll();
}

std::string rank_place() { return rank_count() == 1 ? "" : "rank " + std::to_string(rank()) + " on " + host_name(); }

int shared_cpus() {
  undo_default_binding();
  const CpuSet mine = CpuSet::of(0);
  const std::vector<std::int64_t> leaders = all_gather(std::int64_t(node_place().leader));
  const std::vector<std::int64_t> ends = all_gather(std::int64_t(mine.end()));
  double part = 0;
  for (int first = 0; first < *std::max_element(ends.begin(), ends.end()); first += 64) {
    std::uint64_t bits = 0;
    for (int bit = 0; bit < 64; ++bit) bits |= std::uint64_t(mine.has(first + bit)) << bit;
    const std::vector<std::int64_t> all_bits = all_gather(std::int64_t(bits));
    for (int bit = 0; bit < 64; ++bit) {
      int ranks = 0;  // of this node that may run on that CPU
      for (int r = 0; r < rank_count(); ++r) {
        ranks += leaders[r] == node_place().leader && (std::uint64_t(all_bits[r]) >> bit & 1) != 0;
      }
      if (mine.has(first + bit)) part += 1.0 / ranks;
    }
  }
  const double quota = cgroup_cpus();
  if (quota > 0) part = std::min(part, std::ceil(quota / node_place().count));
  return std::max(1, int(part + 1e-6));  // thirds may not add up
}

int usable_cpus() { return std::min(granted_cpus(), requested_threads()); }
