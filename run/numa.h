// Which memory and which cores lie near a GPU: on a machine with several sockets, a copy to the far one crosses the
// link between them. Where the system tells nothing (one node, a virtual machine), or FACEGEN_NUMA=0, nothing is done.
#ifndef FACEGEN_RUN_NUMA_H_
#define FACEGEN_RUN_NUMA_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "run/cpus.h"

// A NUMA node: a socket's memory, or a part of it, with the CPUs beside it.
struct NumaPlace {
  int node = -1;          // -1: unknown, or there is but one
  std::vector<int> cpus;  // of that node
};

// The node that a PCI device hangs on, by its bus id in any case ("0000:17:00.0"). root: where /sys is found.
NumaPlace numa_place(const std::string& pci_bus_id, const std::string& root = "");

// "0-3,8,10-11" -> 0 1 2 3 8 10 11; empty where it is no such list.
std::vector<int> parse_cpu_list(const std::string& list);

// Keeps the calling thread to the CPUs of that place, as far as it may run on them; on none: leaves it where it is.
void run_at(const NumaPlace& place);

// Runs the calling thread at that place until the end of the block: what it allocates and touches lies there.
class StayAt {
 public:
  explicit StayAt(const NumaPlace& place);
  ~StayAt();
  StayAt(const StayAt&) = delete;
  StayAt& operator=(const StayAt&) = delete;

 private:
  const CpuSet before_;
};

// NUMA nodes as a set: bit n is node n. 0: anywhere.
using NumaNodes = std::uint64_t;
inline NumaNodes nodes_of(const NumaPlace& place) {
  return place.node < 0 || place.node >= 64 ? 0 : NumaNodes(1) << place.node;
}

// Pages of this mapping that nobody has touched yet will lie on these nodes: on the only one as long as it has memory,
// on several in turn. memory: page-aligned. False where the kernel would not have it; nothing has changed then.
bool place_pages(void* memory, std::size_t bytes, NumaNodes nodes);

#endif  // FACEGEN_RUN_NUMA_H_
