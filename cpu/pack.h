// From the parameters as network.bin has them to what the kernels read (PackedLayer).
#ifndef FACEGEN_CPU_PACK_H_
#define FACEGEN_CPU_PACK_H_

#include "cpu/kernels.h"

constexpr std::size_t kPackedAlignment = 16;  // floats: every array starts on a 64-byte boundary

// Floats of memory that all layers together need.
std::size_t packed_floats();

// network (net::kNetworkFloats) -> memory (packed_floats()), 64-byte aligned; layer[l] then points into it.
// Batch normalisation becomes a scale and a shift, which take the bias in.
void pack_network(const float* network, const Kernels& kernels, int threads, float* memory,
                  PackedLayer layer[net::kLayers]);

#endif  // FACEGEN_CPU_PACK_H_
