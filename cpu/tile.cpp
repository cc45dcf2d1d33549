#include <algorithm>

#include "cpu/kernels.h"

namespace {

std::size_t map_floats(int m, int faces) {
  const net::Layer& l = net::kTable.layer[m];
  return std::size_t(l.out_H) * (l.out_W + 2) * faces * map_stride(l.K);
}

}  // namespace

std::size_t tile_floats(const Kernels& kernels) {
  std::size_t floats = 0;
  for (int m = 0; m < kMaps; ++m) floats += map_floats(m, kernels.tile_faces);
  return floats;
}

Tile make_tile(int faces, const float* noise, float* memory, float* out) {
  Tile tile = {faces, noise, {}, out};
  for (int m = 0; m < kMaps; ++m) {
    tile.map[m] = memory;
    memory += map_floats(m, faces);
  }
  return tile;
}

void clear_border(const Tile& tile, int m) {
  const net::Layer& l = net::kTable.layer[m];
  const std::size_t column = std::size_t(tile.faces) * map_stride(l.K);
  for (int h = 0; h < l.out_H; ++h) {
    float* row = tile.map[m] + h * (l.out_W + 2) * column;
    std::fill_n(row, column, 0.0f);
    std::fill_n(row + (l.out_W + 1) * column, column, 0.0f);
  }
}
