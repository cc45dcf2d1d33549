// The kernels of cpu/kernels_amx.h over tests/emulated_tiles.h: a test double that runs everywhere.
#ifndef FACEGEN_TESTS_EMULATED_AMX_H_
#define FACEGEN_TESTS_EMULATED_AMX_H_

#include "cpu/kernels.h"

const Kernels& emulated_amx_kernels();

#endif  // FACEGEN_TESTS_EMULATED_AMX_H_
