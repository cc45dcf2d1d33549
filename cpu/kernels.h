// The arithmetic of the layers over one tile of faces. cpu/kernels_simd.h holds it once; it is compiled three times,
// for plain vectors, AVX2 and AVX-512. cpu_device.cpp picks one of the three at run time.
#ifndef FACEGEN_CPU_KERNELS_H_
#define FACEGEN_CPU_KERNELS_H_

#include <cstddef>

#include "network.h"

// Feature maps of a tile are position-major and batch-inner: (H, W + 2, faces, K + kPadding). The extra column on
// either side stands for the zeros beyond the border; the padding keeps a tile's rows in different cache sets.
constexpr int kMaps = 4;  // map[l] is the output of layer l; the last layer writes the faces
constexpr int kPadding = 16;
constexpr int map_stride(int channels) { return channels + kPadding; }

constexpr int kStripLanes = 16;  // tconv4: one filter row, 5 taps x 3 channels = 15 values, and a zero

// A layer's parameters as the kernels want them, 64-byte aligned.
//   proj      weight (8192 / columns, 100, columns)      scale, shift (8192)
//   tconv1-3  weight (K / columns, 5, 5, C, columns)     scale, shift (K)
//   tconv4    weight (5, C, kStripLanes)                 shift (64 x 3): the bias of every value of an output row
struct PackedLayer {
  const float* weight;
  const float* scale;
  const float* shift;
};

struct Tile {
  int faces;
  const float* noise;  // (faces, 100)
  float* map[kMaps];
  float* out;  // (faces, 64, 64, 3)
};

struct Kernels {
  const char* name;
  int columns;       // output channels a panel of weights
  int tile_faces;    // most faces a tile, and the number that fills the registers best
  int border_faces;  // tiles of fewer faces than this read the columns left and right of a map
  int faces_per_s;   // of one thread, roughly

  // noise -> channels [panel * columns, + columns) of the 8192 of map 0.
  void (*proj)(const PackedLayer&, const Tile&, int panel);
  // Layer 1, 2 or 3: map[layer - 1] -> one panel of channels of map[layer], at the positions of one phase (2 * row
  // parity + column parity) that belong to the input rows [begin, end).
  void (*tconv[4])(const PackedLayer&, const Tile&, int phase, int panel, int begin, int end);
  // map[3] -> the image rows [2 * begin, 2 * end) of the faces.
  void (*tconv4)(const PackedLayer&, const Tile&, int begin, int end);
};

const Kernels* plain_kernels();
const Kernels* avx2_kernels();    // on x86-64 alone,
const Kernels* avx512_kernels();  // for a CPU that has them

// ---- Parameters as network.bin has them -> as the kernels read them  -> pack.cpp

// Floats of memory that all layers together need.
std::size_t packed_floats();

// network (net::kNetworkFloats) -> memory (packed_floats()), 64-byte aligned; layer[l] then points into it.
// Batch normalisation becomes a scale and a shift, which take the bias in.
void pack_network(const float* network, const Kernels& kernels, int threads, float* memory,
                  PackedLayer layer[net::kLayers]);

// ---- The memory of a tile  -> cpu_device.cpp

// Floats of memory for the maps of a tile of up to kernels.tile_faces faces.
std::size_t tile_floats(const Kernels& kernels);

// A tile whose maps lie in `memory` (tile_floats(), 64-byte aligned).
Tile make_tile(int faces, const float* noise, float* memory, float* out);

// Zeros into the columns left and right of map m.
void clear_border(const Tile& tile, int m);

#endif  // FACEGEN_CPU_KERNELS_H_
