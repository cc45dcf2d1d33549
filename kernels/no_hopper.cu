// Hopper's kernels where CUDA is older than 12 and has no tensor maps: there are none, and mma's compute on an H100 too.
#include "kernels/generator.h"

std::unique_ptr<Generator> make_hopper_generator(const cudaDeviceProp&) { return nullptr; }
std::unique_ptr<Generator> make_hopper8_generator(const cudaDeviceProp&) { return nullptr; }
