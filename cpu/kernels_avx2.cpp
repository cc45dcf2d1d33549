// AVX2 with FMA: 16 registers of 8 floats. Compiled with -mavx2 -mfma on x86-64.
#include "cpu/kernels.h"

#ifdef __x86_64__

namespace {
constexpr char kName[] = "avx2";
constexpr int kLanes = 8;
constexpr int kRows = 6, kVecs = 2;  // 12 accumulators, 2 vectors of weights, 1 of activations
constexpr int kTileFaces = 12;
constexpr int kFacesPerS = 220;  // of one core at 3 GHz
}  // namespace

#include "cpu/kernels_simd.h"

const Kernels* avx2_kernels() { return &kKernels; }

#endif
