#include "common/cgroup.h"

#include <algorithm>
#include <fstream>

namespace {

// The numbers that begin a file: none where it is missing or says "max".
std::vector<double> numbers(const std::string& path) {
  std::ifstream file(path);
  std::vector<double> values;
  for (double value; file >> value;) values.push_back(value);
  return values;
}

}  // namespace

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

double cgroup_cpus(const std::string& root) {
  double cpus = 0;
  const auto limit = [&cpus](double quota, double period) {
    if (quota > 0 && period > 0) cpus = cpus == 0 ? quota / period : std::min(cpus, quota / period);
  };
  for (const std::string& folder : cgroup_folders("", root)) {
    const std::vector<double> max = numbers(folder + "/cpu.max");  // "quota period", or "max period"
    if (max.size() == 2) limit(max[0], max[1]);
  }
  for (const std::string& folder : cgroup_folders("cpu", root)) {
    const std::vector<double> quota = numbers(folder + "/cpu.cfs_quota_us"),
                              period = numbers(folder + "/cpu.cfs_period_us");
    if (!quota.empty() && !period.empty()) limit(quota[0], period[0]);  // -1: none
  }
  return cpus;
}
