#include "run/ranks.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "run/launch.h"

namespace {

std::string host_name() {
  char name[256] = "?";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

void Transfers::wait_all() {
  while (!empty()) poll();
}

std::string rank_place() { return rank_count() == 1 ? "" : "rank " + std::to_string(rank()) + " on " + host_name(); }

int usable_cpus() {
  const int cpus = allowed_cpus();
  const bool bound = std::getenv("OMPI_MCA_hwloc_base_binding_policy") != nullptr;  // then these CPUs are ours alone
  return bound ? cpus : std::max(1, cpus / node_place().count);
}
