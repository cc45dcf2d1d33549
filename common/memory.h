// How much memory this process may still take.
#ifndef FACEGEN_COMMON_MEMORY_H_
#define FACEGEN_COMMON_MEMORY_H_

#include <cstdint>
#include <string>

// Bytes that can be had: the least of what the machine has left, what every control group around this process leaves it
// (docker -m, SLURM's --mem; versions 1 and 2), and its own limits (ulimit -v, -d). root: a folder in place of /, for
// tests.
enum Swap { kNoSwap, kSwapToo };
std::int64_t available_memory(Swap swap = kNoSwap, const std::string& root = "");

#endif  // FACEGEN_COMMON_MEMORY_H_
