// The control groups around this process, whose limits hold for it: those of a container, a job, a service.
#ifndef FACEGEN_COMMON_CGROUP_H_
#define FACEGEN_COMMON_CGROUP_H_

#include <string>
#include <vector>

// The folders of this process's group and of all groups above it; empty where there are none.
// controller: "cpu" or "memory" for cgroups of version 1, "" for version 2. root: where /proc and /sys are found.
std::vector<std::string> cgroup_folders(const std::string& controller, const std::string& root = "");

// How many CPUs' time this process and those in its groups may use together, by the least of the quotas (cpu.max of
// version 2, cpu.cfs_quota_us of version 1); 0 where there is none.
double cgroup_cpus(const std::string& root = "");

#endif  // FACEGEN_COMMON_CGROUP_H_
