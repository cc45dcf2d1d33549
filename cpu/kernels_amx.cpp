// AMX for tconv1-3, AVX-512 for the rest. Compiled with -mavx512f -mfma -mamx-tile -mamx-bf16 where the compiler knows
// them.
#include "cpu/kernels.h"

#if defined(__AVX512F__) && defined(__AMX_TILE__) && defined(__AMX_BF16__)

#include "cpu/amx_tiles.h"

namespace {
constexpr char kName[] = "amx";
constexpr int kLanes = 16;
constexpr int kRows = 14, kVecs = 2;  // as for AVX-512
constexpr int kFacesPerS = 900;       // of one core at 3 GHz
}  // namespace

#include "cpu/kernels_amx.h"

const Kernels* amx_kernels() { return &kKernels; }

#else

const Kernels* amx_kernels() { return nullptr; }

#endif
