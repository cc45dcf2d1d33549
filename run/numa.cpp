#include "run/numa.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& list) {
  std::vector<int> cpus;
  std::istringstream items(list);
  for (std::string item; std::getline(items, item, ',');) {
    std::istringstream text(item);
    int first = -1, last = -1;
    char dash = 0;
    if (!(text >> first) || first < 0) return {};
    last = first;
    if (text >> dash && (dash != '-' || !(text >> last))) return {};
    if (last < first || last >= CpuSet::kMost) return {};
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

NumaPlace numa_place(const std::string& pci_bus_id, const std::string& root) {
  const char* variable = std::getenv("FACEGEN_NUMA");
  if (variable && std::string(variable) == "0") return {};

  const std::string nodes = root + "/sys/devices/system/node/";
  if (parse_cpu_list(first_line(nodes + "online")).size() < 2) return {};  // nodes are listed as CPUs are

  std::string device = pci_bus_id;
  std::transform(device.begin(), device.end(), device.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::vector<int> node = parse_cpu_list(first_line(root + "/sys/bus/pci/devices/" + device + "/numa_node"));
  if (node.size() != 1) return {};  // -1 is no list
  return {node[0], parse_cpu_list(first_line(nodes + "node" + std::to_string(node[0]) + "/cpulist"))};
}

void run_at(const NumaPlace& place) {
  if (place.node < 0) return;
  const CpuSet allowed = CpuSet::of(0);
  CpuSet wanted;
  for (const int cpu : place.cpus) {
    if (allowed.has(cpu)) wanted.add(cpu);
  }
  if (wanted.end() > 0) wanted.take();  // best effort
}

StayAt::StayAt(const NumaPlace& place) : before_(CpuSet::of(0)) { run_at(place); }
StayAt::~StayAt() { before_.take(); }

// The system call itself: its wrapper would be the only thing that libnuma is needed for.
bool place_pages(void* memory, std::size_t bytes, NumaNodes nodes) {
  if (nodes == 0) return true;
  const bool one = (nodes & (nodes - 1)) == 0;
  const unsigned long mask = nodes;
  constexpr unsigned long kBits = 8 * sizeof mask + 1;  // the kernel reads one less
  return syscall(SYS_mbind, memory, bytes, one ? MPOL_PREFERRED : MPOL_INTERLEAVE, &mask, kBits, 0) == 0;
}
