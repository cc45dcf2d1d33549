// What this process may take: the machine's, what the control groups around it leave (those of a container, a job, a
// service; versions 1 and 2), and its own limits. root: a folder in place of /, for tests.
#ifndef FACEGEN_COMMON_LIMITS_H_
#define FACEGEN_COMMON_LIMITS_H_

#include <cstdint>
#include <string>

// Bytes of memory that can still be had.
enum Swap { kNoSwap, kSwapToo };
std::int64_t available_memory(Swap swap = kNoSwap, const std::string& root = "");

// How many CPUs' time this process and those in its groups may use together; 0 where there is no quota.
double cgroup_cpus(const std::string& root = "");

#endif  // FACEGEN_COMMON_LIMITS_H_
