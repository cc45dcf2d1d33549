// The generator for any tensor cores by all that tensor_core_checks.h checks. A plain program for a machine with a GPU
// of compute capability 8.0 or later:
//   make CUARCH=80 build/.../gpu/test_mma; build/.../gpu/test_mma [network.bin [part [measurements.json]]]
#include "kernels/mma/generator.cu"

namespace {

using Tested = MmaGenerator;
constexpr auto make_tested = make_mma_generator;
constexpr double kLimit = 2e-4;

}  // namespace

#include "tests/tensor_core_checks.h"

int main(int argc, char** argv) { return run(argc, argv); }
