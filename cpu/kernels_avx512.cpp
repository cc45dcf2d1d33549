// AVX-512: 32 registers of 16 floats. Compiled with -mavx512f -mfma on x86-64.
#include "cpu/kernels.h"

#ifdef __x86_64__

namespace {
constexpr char kName[] = "avx512";
constexpr int kLanes = 16;
constexpr int kRows = 14, kVecs = 2;  // 28 accumulators, 2 vectors of weights, 1 of activations
constexpr int kTileFaces = 14;
constexpr int kFacesPerS = 250;  // of one core at 3 GHz
}  // namespace

#include "cpu/kernels_simd.h"

const Kernels* avx512_kernels() { return &kKernels; }

#endif
