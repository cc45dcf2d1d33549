// The current GPU's clock, which cudaDeviceProp no longer tells since CUDA 13.
#ifndef FACEGEN_KERNELS_CLOCK_H_
#define FACEGEN_KERNELS_CLOCK_H_

#include <cuda_runtime.h>

#include "kernels/cuda_check.h"

// The highest that its multiprocessors run at, Hz.
inline double current_clock_hz() {
  int ordinal = 0, kilohertz = 0;
  CUDA_CHECK(cudaGetDevice(&ordinal));
  CUDA_CHECK(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, ordinal));
  return kilohertz * 1e3;
}

#endif  // FACEGEN_KERNELS_CLOCK_H_
