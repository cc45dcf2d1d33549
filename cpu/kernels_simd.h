// Body of kernels_plain.cpp, kernels_avx2.cpp and kernels_avx512.cpp, which define kName, kLanes, kRows, kVecs,
// kTileFaces and kFacesPerS, and then include this file.
#include "cpu/micro_tile.h"
#include "cpu/tconv4.h"

namespace {

// Tiles of fewer faces than this compute with the zeros left and right of a map, so that all positions of an output row
// form one product; larger tiles skip those taps.
constexpr int kFewFaces = 6;

constexpr int kLongestRun = 128;

struct Tap {
  const float* a;  // the input at the tap's offset from position 0 of the row
  const float* w;  // (C, kColumns)
};

// Where a block's rows go: row after row `stride` apart, and after `left` rows a jump over the other phase's column.
struct Target {
  float* out;
  int left, faces;
};

template <int L, int kR>
void block_of(const Tap* taps, int count, std::size_t row, const float* scale, const float* shift, Target to) {
  constexpr net::Layer l = net::kTable.layer[L];
  constexpr int kIn = L == 0 ? l.C : map_stride(l.C);
  constexpr int kOut = map_stride(l.K);
  constexpr int kRun = l.C < kLongestRun ? l.C : kLongestRun;
  alignas(64) float sums[kR * kColumns];
  for (int t = 0; t < count; ++t) {
    const float* a = taps[t].a + row * kIn;
    for (int c = 0; c < l.C; c += kRun) {
      multiply<kR, kVecs, kRun, kIn>(a + c, taps[t].w + c * kColumns, a + kR * kIn + c * kLine, sums, t + c == 0);
    }
  }
  for (int r = 0; r < kR; ++r) {
    for (int v = 0; v < kColumns; v += kLanes) {
      store(to.out + v, activate(load(sums + r * kColumns + v), load(scale + v), load(shift + v)));
    }
    to.out += kOut;
    if (--to.left == 0) {
      to.out += std::size_t(to.faces) * kOut;
      to.left = to.faces;
    }
  }
}

template <int L, int kR>
void block(int rows, const Tap* taps, int count, std::size_t row, const float* scale, const float* shift, Target to) {
  if (rows == kR) return block_of<L, kR>(taps, count, row, scale, shift, to);
  if constexpr (kR > 1) block<L, kR - 1>(rows, taps, count, row, scale, shift, to);
}

void proj(const PackedLayer& p, const Tile& tile, int panel) {
  constexpr net::Layer l = net::kProj;
  const int position = panel * kColumns / l.K, h = position / l.out_W, w = position % l.out_W;
  float* out = tile.map[0] + std::size_t(h * (l.out_W + 2) + 1 + w) * tile.faces * map_stride(l.K);
  const Tap tap = {tile.noise, p.weight + std::size_t(panel) * l.C * kColumns};
  for_each_block(tile.faces, kRows, [&](int row, int rows) {
    block<0, kRows>(rows, &tap, 1, row, p.scale + panel * kColumns, p.shift + panel * kColumns,
                    {out + row * map_stride(l.K) + panel * kColumns % l.K, rows + 1, 0});
  });
}

// An output pixel (2i + pi, 2j + pj) gathers from input pixel (h, w) through filter row r and column s where
// 2i + pi = 2h + r - 1 and 2j + pj = 2w + s - 1: h = i + (pi + 1 - r) / 2, r of the other parity than pi; columns
// alike. For one i, the pixels (j, face) of the phase are the rows of a matrix product over those taps x C: the inputs
// of neighbouring rows are neighbours, whatever the tap. Taps off the map's top and bottom are left out; for taps off
// its sides the columns j fall into at most three segments, each with its own list of taps.
template <int L>
void tconv(const PackedLayer& p, const Tile& tile, int phase, int panel, int begin, int end) {
  constexpr net::Layer l = net::kTable.layer[L];
  constexpr int kIn = map_stride(l.C), kOut = map_stride(l.K);
  const std::size_t n = tile.faces;
  const int pi = phase / 2, pj = phase % 2;
  const bool whole_rows = tile.faces < kFewFaces;
  const int segment_ends[] = {whole_rows ? 0 : 1, whole_rows ? 0 : l.W - pj, l.W};
  const float* weight = p.weight + std::size_t(panel) * net::kFilter * net::kFilter * l.C * kColumns;

  for (int i = begin; i < end; ++i) {
    float* out = tile.map[L] + std::size_t((2 * i + pi) * (l.out_W + 2) + 1 + pj) * n * kOut + panel * kColumns;
    int first = 0;
    for (const int last : segment_ends) {
      if (first == last) continue;
      Tap taps[9];
      int count = 0;
      for (int r = 1 - pi; r < net::kFilter; r += net::kStride) {
        const int h = i + (pi + net::kCut - r) / net::kStride;
        if (h < 0 || h >= l.H) continue;
        for (int s = 1 - pj; s < net::kFilter; s += net::kStride) {
          const int shift = (pj + net::kCut - s) / net::kStride;
          if (!whole_rows && (first + shift < 0 || last + shift > l.W)) continue;
          taps[count++] = {tile.map[L - 1] + std::size_t(h * (l.W + 2) + 1 + shift) * n * kIn,
                           weight + std::size_t(r * net::kFilter + s) * l.C * kColumns};
        }
      }
      for_each_block((last - first) * tile.faces, kRows, [&](int row, int rows) {
        row += first * tile.faces;
        const int j = row / tile.faces, face = row % tile.faces;
        block<L, kRows>(rows, taps, count, row, p.scale + panel * kColumns, p.shift + panel * kColumns,
                        {out + (2 * j * n + face) * kOut, tile.faces - face, tile.faces});
      });
      first = last;
    }
  }
}

constexpr Kernels kKernels = {
    kName, kColumns, kTileFaces, kFewFaces, kFacesPerS, proj, {nullptr, tconv<1>, tconv<2>, tconv<3>}, tconv4};

}  // namespace
