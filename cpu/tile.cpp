#include <algorithm>

#include "cpu/kernels.h"

namespace {

// Floats of a face at one position of map m.
std::size_t row_floats(const Kernels& kernels, int m) {
  const int K = net::kTable.layer[m].K;
  return kernels.bf16 && m < kMaps - 1 ? bf16_stride(K) / 2 : map_stride(K);
}

std::size_t map_floats(const Kernels& kernels, int m, int faces) {
  const net::Layer& l = net::kTable.layer[m];
  const std::size_t rows = std::size_t(l.out_H) * (l.out_W + 2) * faces;
  return (rows + (kernels.bf16 ? kTileRows - 1 : 0)) * row_floats(kernels, m);
}

}  // namespace

std::size_t tile_floats(const Kernels& kernels) {
  std::size_t floats = 0;
  for (int m = 0; m < kMaps; ++m) floats += map_floats(kernels, m, kernels.tile_faces);
  return floats;
}

Tile make_tile(const Kernels& kernels, int faces, const float* noise, float* memory, float* out) {
  Tile tile = {faces, noise, {}, out};
  for (int m = 0; m < kMaps; ++m) {
    tile.map[m] = memory;
    memory += map_floats(kernels, m, faces);
  }
  return tile;
}

void clear_border(const Kernels& kernels, const Tile& tile, int m) {
  const net::Layer& l = net::kTable.layer[m];
  const std::size_t column = tile.faces * row_floats(kernels, m);
  for (int h = 0; h < l.out_H; ++h) {
    float* row = tile.map[m] + h * (l.out_W + 2) * column;
    std::fill_n(row, column, 0.0f);
    std::fill_n(row + (l.out_W + 1) * column, column, 0.0f);
  }
}
