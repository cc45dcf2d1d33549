#include "driver/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "common/cgroup.h"

namespace {

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

// The number in a file of one; kNoLimit where there is none, as where the file says "max".
std::int64_t number_in(const std::string& path) {
  std::int64_t number = 0;
  return std::ifstream(path) >> number ? number : kNoLimit;
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

// What a limit leaves that those in a control group's folder share: cached files make way.
std::int64_t left_by_group(const std::string& folder, const char* limit_file, const char* taken_file,
                           const std::vector<std::string>& cached_keys) {
  const std::int64_t limit = number_in(folder + limit_file), taken = number_in(folder + taken_file);
  if (limit == kNoLimit || taken == kNoLimit) return kNoLimit;
  return std::max<std::int64_t>(
      0, limit - taken + std::max<std::int64_t>(0, sum_in(folder + "/memory.stat", cached_keys)));
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
  std::int64_t least = of_machine;
  for (const std::string& folder : cgroup_folders("memory", root)) {
    least = std::min(least, left_by_group(folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                                          {"total_active_file", "total_inactive_file"}));
  }
  for (const std::string& folder : cgroup_folders("", root)) {
    for (const char* limit : {"/memory.max", "/memory.high"}) {
      least = std::min(least, left_by_group(folder, limit, "/memory.current", {"active_file", "inactive_file"}));
    }
  }
  std::int64_t pages[6] = {};  // size, resident, shared, text, library, data
  std::ifstream statm("/proc/self/statm");
  for (std::int64_t& count : pages) statm >> count;
  return std::min({least, left_by_limit(RLIMIT_AS, pages[0]), left_by_limit(RLIMIT_DATA, pages[5])});
}
