// The CPU backend with kernels of the caller's choice, for tests and measurements; programs use open_cpu(threads).
#ifndef FACEGEN_CPU_CPU_DEVICE_H_
#define FACEGEN_CPU_CPU_DEVICE_H_

#include <memory>
#include <vector>

#include "cpu/kernels.h"
#include "run/device.h"

// What this build has code for and this CPU runs: the widest vectors first, the plain ones last.
std::vector<const Kernels*> runnable_kernels();

std::unique_ptr<Device> open_cpu(const Kernels& kernels, int threads);

#endif  // FACEGEN_CPU_CPU_DEVICE_H_
