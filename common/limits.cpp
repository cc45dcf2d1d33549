#include "common/limits.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

namespace {

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

// The folders of this process's group and of all groups above it; empty where there are none. controller: "cpu" or
// "memory" for version 1, "" for version 2.
//
// A line of /proc/self/cgroup is "4:cpu,cpuacct:/job/step", and "0::/job/step" for version 2. In a container the path
// may be the host's, whose folders are not seen there: what is seen is the container's own group, where they are mounted.
std::vector<std::string> cgroup_folders(const std::string& controller, const std::string& root) {
  std::vector<std::string> folders;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool listed = ("," + controllers + ",").find("," + controller + ",") != std::string::npos;
    if (controller.empty() ? !controllers.empty() : !listed) continue;
    const std::string other_mount = controller.empty() ? "unified" : controllers;  // beside version 1; one for several
    for (std::string group = line.substr(second + 1);; group.erase(group.rfind('/'))) {
      if (!group.empty() && group.back() == '/') group.pop_back();
      folders.push_back(root + "/sys/fs/cgroup/" + controller + group);
      if (other_mount != controller) folders.push_back(root + "/sys/fs/cgroup/" + other_mount + group);
      if (group.empty()) break;
    }
  }
  return folders;
}

// The numbers that begin a file: none where it is missing or says "max".
template <typename Number>
std::vector<Number> numbers(const std::string& path) {
  std::ifstream file(path);
  std::vector<Number> values;
  for (Number value; file >> value;) values.push_back(value);
  return values;
}

std::int64_t number_in(const std::string& path) {
  const std::vector<std::int64_t> found = numbers<std::int64_t>(path);
  return found.empty() ? kNoLimit : found[0];
}

// The sum of what a file of lines "key value ..." says of these keys; -1 where it has none of them.
std::int64_t sum_in(const std::string& path, const std::vector<std::string>& keys) {
  std::ifstream file(path);
  std::int64_t sum = -1;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    std::int64_t value = 0;
    if (words >> key >> value && std::count(keys.begin(), keys.end(), key) > 0)
      sum = std::max<std::int64_t>(sum, 0) + value;
  }
  return sum;
}

// What one control group leaves: its limit less what it has taken, but for cached files, which make way.
std::int64_t left_by_group(const std::string& folder, bool version_1) {
  const std::int64_t limit = version_1
                                 ? number_in(folder + "/memory.limit_in_bytes")
                                 : std::min(number_in(folder + "/memory.max"), number_in(folder + "/memory.high"));
  if (limit == kNoLimit) return kNoLimit;
  const std::int64_t taken = number_in(folder + (version_1 ? "/memory.usage_in_bytes" : "/memory.current"));
  const std::int64_t cached = version_1 ? sum_in(folder + "/memory.stat", {"total_active_file", "total_inactive_file"})
                                        : sum_in(folder + "/memory.stat", {"active_file", "inactive_file"});
  return std::max<std::int64_t>(0, limit - (taken == kNoLimit ? 0 : taken - std::max<std::int64_t>(cached, 0)));
}

// What the control groups leave, this process' own and all those around it.
std::int64_t left_by_groups(const std::string& root) {
  std::int64_t least = kNoLimit;
  for (const bool version_1 : {true, false}) {
    for (const std::string& folder : cgroup_folders(version_1 ? "memory" : "", root)) {
      least = std::min(least, left_by_group(folder, version_1));
    }
  }
  return least;
}

std::int64_t left_by_limit(int resource, std::int64_t taken_pages) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  return std::max<std::int64_t>(0, std::int64_t(limit.rlim_cur) - taken_pages * sysconf(_SC_PAGESIZE));
}

}  // namespace

std::int64_t available_memory(Swap swap, const std::string& root) {
  const std::int64_t kibibytes =
      sum_in(root + "/proc/meminfo", swap == kSwapToo ? std::vector<std::string>{"MemAvailable:", "SwapFree:"}
                                                      : std::vector<std::string>{"MemAvailable:"});
  const std::int64_t of_machine =
      kibibytes >= 0 ? kibibytes << 10 : std::int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / 2;
  std::int64_t pages[6] = {};  // size, resident, shared, text, library, data
  std::ifstream statm("/proc/self/statm");
  for (std::int64_t& count : pages) statm >> count;
  return std::min(
      {of_machine, left_by_groups(root), left_by_limit(RLIMIT_AS, pages[0]), left_by_limit(RLIMIT_DATA, pages[5])});
}

double cgroup_cpus(const std::string& root) {
  double cpus = 0;
  const auto limit = [&cpus](double quota, double period) {
    if (quota > 0 && period > 0) cpus = cpus == 0 ? quota / period : std::min(cpus, quota / period);
  };
  for (const std::string& folder : cgroup_folders("", root)) {
    const std::vector<double> max = numbers<double>(folder + "/cpu.max");  // "quota period", or "max period"
    if (max.size() == 2) limit(max[0], max[1]);
  }
  for (const std::string& folder : cgroup_folders("cpu", root)) {
    const std::vector<double> quota = numbers<double>(folder + "/cpu.cfs_quota_us"),
                              period = numbers<double>(folder + "/cpu.cfs_period_us");
    if (!quota.empty() && !period.empty()) limit(quota[0], period[0]);  // -1: none
  }
  return cpus;
}
