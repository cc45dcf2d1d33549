// Shared memory as the instructions of tensor cores and copies see it, and asynchronous copies to it that pass by the
// registers (cp.async, sm_80 and later), in groups: one group a stage.
#ifndef FACEGEN_KERNELS_SHARED_MEMORY_CUH_
#define FACEGEN_KERNELS_SHARED_MEMORY_CUH_

#include <cuda_runtime.h>

#include <cstdint>

namespace {

__device__ inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// Copies 16 bytes, or 16 zero bytes where !valid; nothing is read then.
__device__ inline void copy_async(uint32_t to, const void* from, bool valid) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
  *static_cast<float4*>(__cvta_shared_to_generic(to)) =
      valid ? *static_cast<const float4*>(from) : make_float4(0.f, 0.f, 0.f, 0.f);
#endif
}

__device__ inline void end_copy_group() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all but the latest `pending` groups of this thread have arrived.
template <int pending>
__device__ inline void wait_copy_groups() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

}  // namespace

#endif  // FACEGEN_KERNELS_SHARED_MEMORY_CUH_
