#include "tests/emulated_amx.h"

#include "tests/emulated_tiles.h"

namespace {
constexpr char kName[] = "emulated amx";
constexpr int kLanes = 4;
constexpr int kRows = 1, kVecs = 8;
constexpr int kFacesPerS = 1;
}  // namespace

#include "cpu/kernels_amx.h"

const Kernels& emulated_amx_kernels() { return kKernels; }
