// The Hopper generator by all that tensor_core_checks.h checks. A plain program for a machine with an H100 (or H200):
//   make CUARCH=90a build/.../gpu/test_hopper; build/.../gpu/test_hopper [network.bin [part [measurements.json]]]
#include "kernels/hopper/generator.cu"

namespace {

using Tested = HopperGenerator<kAccurate>;
constexpr auto make_tested = make_hopper_generator;
constexpr double kLimit = 2e-4;

}  // namespace

#include "tests/tensor_core_checks.h"

int main(int argc, char** argv) { return run(argc, argv); }
