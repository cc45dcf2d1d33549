// Vectors of 4 floats, which every processor in sight has: SSE2 on x86-64, NEON on aarch64. Needs no compiler flag.
#include "cpu/kernels.h"

namespace {
constexpr char kName[] = "plain";
constexpr int kLanes = 4;
#ifdef __aarch64__
constexpr int kRows = 12, kVecs = 2;  // 24 of 32 registers
#else
constexpr int kRows = 6, kVecs = 2;  // 12 of 16 registers
#endif
constexpr int kTileFaces = 12;
constexpr int kFacesPerS = 30;  // of one core at 3 GHz
}  // namespace

#include "cpu/kernels_simd.h"

const Kernels* plain_kernels() { return &kKernels; }
