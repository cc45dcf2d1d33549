#include <algorithm>
#include <cmath>

#include "cpu/kernels.h"
#include "cpu/team.h"

namespace {

constexpr std::size_t kPackedAlignment = 16;  // floats: every array starts on a 64-byte boundary
constexpr int kTaps = net::kFilter * net::kFilter;

// Sizes of a layer's three arrays, in floats.
struct Sizes {
  std::size_t weight, scale, shift;
};

Sizes sizes_of(int layer) {
  const net::Layer& l = net::kTable.layer[layer];
  const std::size_t K = l.K, C = l.C;
  if (layer == 0) return {C * l.out_H * l.out_W * K, l.out_H * l.out_W * K, l.out_H * l.out_W * K};
  if (l.batch_norm) return {kTaps * K * C, K, K};
  return {net::kFilter * C * kStripLanes, 0, l.out_W * K};
}

std::size_t aligned(std::size_t floats) {
  return (floats + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
}

// weight (100, 8192) -> panel (100, columns) from column `first` on
void pack_proj_panel(const float* weight, int first, int columns, float* panel) {
  constexpr int kOutputs = net::kProj.out_H * net::kProj.out_W * net::kProj.K;
  for (int c = 0; c < net::kProj.C; ++c) {
    std::copy_n(weight + std::size_t(c) * kOutputs + first, columns, panel + c * columns);
  }
}

// One tap's weight (K, C), from row `first` on -> panel (C, columns)
void pack_tconv_panel(const float* weight, int C, int first, int columns, float* panel) {
  constexpr int kBlock = 16;  // channels at a time: a cache line of every row, read whole
  for (int c0 = 0; c0 < C; c0 += kBlock) {
    for (int k = 0; k < columns; ++k) {
      const float* row = weight + std::size_t(first + k) * C;
      for (int c = c0; c < c0 + kBlock; ++c) panel[c * columns + k] = row[c];
    }
  }
}

// weight (5, 5, 3, 64) -> (5, 64, kStripLanes), lane s * 3 + k
void pack_tconv4(const float* weight, float* packed) {
  constexpr net::Layer l = net::kTconv4;
  std::fill_n(packed, net::kFilter * l.C * kStripLanes, 0.0f);
  for (int r = 0; r < net::kFilter; ++r) {
    for (int lane = 0; lane < net::kFilter * l.K; ++lane) {  // (s, k) are neighbours in the file too
      for (int c = 0; c < l.C; ++c) {
        packed[(r * l.C + c) * kStripLanes + lane] = weight[(r * net::kFilter * l.K + lane) * l.C + c];
      }
    }
  }
}

// s * (sum + bias - mean) + beta as scale * sum + shift
void fold_batch_norm(const float* network, int layer, std::size_t outputs, float* scale, float* shift) {
  const net::Layer& l = net::kTable.layer[layer];
  for (std::size_t i = 0; i < outputs; ++i) {
    const std::size_t k = i % l.K;
    const double s = network[l.gamma + k] / std::sqrt(double(network[l.var + k]) + net::kBatchNormEps);
    scale[i] = float(s);
    shift[i] = float(s * (double(network[l.bias + i]) - network[l.mean + k]) + network[l.beta + k]);
  }
}

}  // namespace

std::size_t packed_floats() {
  std::size_t floats = 0;
  for (int layer = 0; layer < net::kLayers; ++layer) {
    const Sizes sizes = sizes_of(layer);
    floats += aligned(sizes.weight) + aligned(sizes.scale) + aligned(sizes.shift);
  }
  return floats;
}

void pack_network(const float* network, const Kernels& kernels, int threads, float* memory,
                  PackedLayer layer[net::kLayers]) {
  const int columns = kernels.columns;
  parallel_team(threads, [&](int thread, int team) {
    float* next = memory;
    for (int i = 0; i < net::kLayers; ++i) {
      const net::Layer& l = net::kTable.layer[i];
      const Sizes sizes = sizes_of(i);
      float* weight = next;
      float* scale = weight + aligned(sizes.weight);
      float* shift = scale + aligned(sizes.scale);
      next = shift + aligned(sizes.shift);

      const float* from = network + l.weight;
      if (i == 0) {
        const int panels = l.out_H * l.out_W * l.K / columns;
        for (int panel = thread; panel < panels; panel += team) {
          pack_proj_panel(from, panel * columns, columns, weight + std::size_t(panel) * l.C * columns);
        }
      } else if (l.batch_norm) {
        for (int item = thread; item < kTaps * l.K / columns; item += team) {  // (panel, tap)
          const int panel = item / kTaps, tap = item % kTaps;
          pack_tconv_panel(from + std::size_t(tap) * l.K * l.C, l.C, panel * columns, columns,
                           weight + std::size_t(item) * l.C * columns);
        }
      }

      if (thread != i % team) continue;  // the rest is little work: a thread a layer
      layer[i] = {weight, scale, shift};
      if (l.batch_norm) {
        fold_batch_norm(network, i, sizes.shift, scale, shift);
      } else {
        pack_tconv4(from, weight);
        for (std::size_t x = 0; x < sizes.shift; ++x) shift[x] = network[l.bias + x % l.K];
      }
    }
  });
}
