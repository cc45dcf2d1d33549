// The instructions of tensor cores that every GPU since sm_80 has, each wrapped in one small function named for what it
// does; no layer knowledge here. Warp-wide ones are called by all 32 lanes.
//
// The section names in brackets are those of the PTX ISA manual. Everything is used inside FACEGEN_SM80, so that files
// which include this still compile for older architectures.
#ifndef FACEGEN_KERNELS_MMA_MMA_CUH_
#define FACEGEN_KERNELS_MMA_MMA_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/shared_memory.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define FACEGEN_SM80 1
#else
#define FACEGEN_SM80 0
#endif

#if FACEGEN_SM80

namespace {

// ---- fragments [ldmatrix]

// Four matrices of 8 rows x 16 bytes, one a register; lanes 8 i .. 8 i + 7 give the addresses of matrix i's rows. Of
// each, lane l gets the 4 bytes at 4 (l % 4) of row l / 4.
__device__ inline void load_matrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// ---- products [mma]: d (16, 8) += a (16, 16) x b (8, 16)^T; fp16 with fp32 sums.

// Of d, lane l has columns 2 (l % 4) and the next, of row l / 4 in d[0], d[1] and of row l / 4 + 8 in d[2], d[3].
// a: rows 0..7 and 8..15 of terms 0..7, then of terms 8..15; b0, b1: terms 0..7, 8..15, as load_matrices gives them.
__device__ inline void multiply16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace

#endif  // FACEGEN_SM80
#endif  // FACEGEN_KERNELS_MMA_MMA_CUH_
