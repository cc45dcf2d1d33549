// The Hopper generator with 8-bit corrections in all of tconv1 to 3 by all that tensor_core_checks.h checks. A plain
// program for a machine with an H100 (or H200):
//   make CUARCH=90a build/.../gpu/test_hopper8; build/.../gpu/test_hopper8 [network.bin [part [measurements.json]]]
#include "kernels/hopper/generator.cu"

namespace {

using Tested = HopperGenerator<kFast>;
constexpr auto make_tested = make_hopper8_generator;
constexpr double kLimit = 4e-4;

}  // namespace

#include "tests/tensor_core_checks.h"

int main(int argc, char** argv) { return run(argc, argv); }
