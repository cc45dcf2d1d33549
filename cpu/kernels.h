// The arithmetic of the layers over one tile of faces. cpu/kernels_simd.h holds it once; it is compiled three times,
// for plain vectors, AVX2 and AVX-512, and cpu_device.cpp picks one of them at run time.
#ifndef FACEGEN_CPU_KERNELS_H_
#define FACEGEN_CPU_KERNELS_H_

#include "network.h"

// Feature maps of a tile are position-major and batch-inner: (H, W + 2, faces, K + kPadding). The extra column on
// either side stands for the zeros beyond the border; the padding keeps a tile's rows in different cache sets.
constexpr int kMaps = 4;  // map[l] is the output of layer l; the last layer writes the faces
constexpr int kPadding = 16;
constexpr int map_stride(int channels) { return channels + kPadding; }
constexpr std::size_t map_floats(const net::Layer& l, int faces) {
  return std::size_t(l.out_H) * (l.out_W + 2) * faces * map_stride(l.K);
}

// Tiles of fewer faces than this compute with the zeros left and right of a map, so that all positions of an output row
// form one product; larger tiles skip those taps.
constexpr int kFewFaces = 6;

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
  int columns;      // output channels a panel of weights
  int tile_faces;   // most faces a tile, and the number that fills the registers best
  int faces_per_s;  // of one thread, roughly

  // noise -> channels [panel * columns, + columns) of the 8192 of map 0.
  void (*proj)(const PackedLayer&, const Tile&, int panel);
  // Layer 1, 2 or 3: map[layer - 1] -> one panel of channels of map[layer], at the positions of one phase (2 * row
  // parity
  // + column parity) that belong to the input rows [begin, end).
  void (*tconv[4])(const PackedLayer&, const Tile&, int phase, int panel, int begin, int end);
  // map[3] -> the image rows [2 * begin, 2 * end) of the faces.
  void (*tconv4)(const PackedLayer&, const Tile&, int begin, int end);
};

// nullptr where this build has no such code.
const Kernels* plain_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

#endif  // FACEGEN_CPU_KERNELS_H_
