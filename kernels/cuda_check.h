// CUDA_CHECK(call): a CUDA call that fails throws Failure (kMachine) with one sentence: the call's text, the error's
// name and message, file:line, and the GPU that is current.
#ifndef FACEGEN_KERNELS_CUDA_CHECK_H_
#define FACEGEN_KERNELS_CUDA_CHECK_H_

#include <cuda_runtime.h>

#include <string>

#if CUDART_VERSION < 11080
#error "facegen needs CUDA 11.8 or later, and 12.0 for Hopper's kernels; to build for the CPU: make CUDA=0"
#endif

#include "common/failure.h"

// "GPU 0 (NVIDIA H100 80GB HBM3)": the calling thread's current GPU.
inline std::string current_gpu() {
  int ordinal = 0;
  if (cudaGetDevice(&ordinal) != cudaSuccess) return "the GPU";
  cudaDeviceProp properties;
  const bool known = cudaGetDeviceProperties(&properties, ordinal) == cudaSuccess;
  return "GPU " + std::to_string(ordinal) + (known ? " (" + std::string(properties.name) + ")" : "");
}

inline void cuda_check(cudaError_t error, const char* call, const char* file, int line) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not report this error again, where CUDA lets go of it
  throw Failure(kMachine, std::string(call) + " failed on " + current_gpu() + " with " + cudaGetErrorName(error) +
                              ": " + cudaGetErrorString(error) + " (" + file + ":" + std::to_string(line) + ")");
}

#define CUDA_CHECK(call) cuda_check((call), #call, __FILE__, __LINE__)

#endif  // FACEGEN_KERNELS_CUDA_CHECK_H_
