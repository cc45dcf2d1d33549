// The CPU backend with kernels of the caller's choice, for tests and measurements; programs use open_cpu(threads).
#ifndef FACEGEN_CPU_CPU_DEVICE_H_
#define FACEGEN_CPU_CPU_DEVICE_H_

#include <memory>

#include "cpu/kernels.h"
#include "run/device.h"

std::unique_ptr<Device> open_cpu(const Kernels& kernels, int threads);

#endif  // FACEGEN_CPU_CPU_DEVICE_H_
