// AMX for tconv1-3, AVX-512 for the rest. The Makefile defines FACEGEN_AMX where compiler and assembler know both.
#include "cpu/kernels.h"

#ifdef FACEGEN_AMX

#include "cpu/amx_tiles.h"

namespace {
constexpr char kName[] = "amx";
constexpr int kLanes = 16;
constexpr int kRows = 14, kVecs = 2;  // as for AVX-512
constexpr int kFacesPerS = 700;       // of one core at 3 GHz
}  // namespace

#include "cpu/kernels_amx.h"

const Kernels* amx_kernels() { return &kKernels; }

#else

const Kernels* amx_kernels() { return nullptr; }

#endif
