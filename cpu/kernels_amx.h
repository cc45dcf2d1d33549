// Body of kernels_amx.cpp, which defines kName, kLanes, kRows, kVecs, kFacesPerS and the verbs of amx_tiles.h, and then
// includes this file. The tests include it with verbs in plain C++.
//
// tconv1-3 as matrix products of bf16 with sums in float. A value is a sum of three bf16 terms, x = x0 + x1 + x2, which
// hold all of its 24 bits; of the nine products of two values' terms the six largest count. That is as good as all nine
// (faces off by 4e-7 at worst before sums are rounded); without one of the six they are off by 2e-5, past the 1e-5 that
// faces may be off by (bench/bf16_products.py).
//
// An epilogue writes the terms of its outputs as three planes, ready to be loaded by the next layer.
#include <cstdint>

#include "cpu/micro_tile.h"

namespace {
constexpr int kTileFaces = 8;
}  // namespace

#include "cpu/tconv4.h"

namespace {

static_assert(kColumns == 32, "two tiles of outputs");

using Bf16 = std::uint16_t;
typedef std::uint32_t BitsVec __attribute__((vector_size(kLanes * 4)));
typedef Bf16 Bf16Vec __attribute__((vector_size(kLanes * 2)));
typedef Bf16 AlignedBf16Vec __attribute__((vector_size(kLanes * 2), may_alias));

// ---- Epilogue

// The terms of y, in planes K apart: bf16_terms.h for vectors
template <int K>
inline void store_terms(Bf16* to, Vec y) {
  for (int t = 0; t < kTerms; ++t) {
    const BitsVec bits = reinterpret_cast<BitsVec>(y), sign = bits & 0x80000000u;
    BitsVec size = bits ^ sign;
    size = (size + 0x7fffu + (size >> 16 & 1u)) & 0xffff0000u;
    size = size > 0x7f7f0000u ? BitsVec{} + 0x7f7f0000u : size;
    *reinterpret_cast<AlignedBf16Vec*>(to + t * K) = __builtin_convertvector((size | sign) >> 16, Bf16Vec);
    y -= reinterpret_cast<Vec>(size | sign);
  }
}

// One row of a block, sums (kColumns), to channel k of map L.
template <int L>
inline void store_row(const PackedLayer& p, const float* sums, int channel, float* map, std::size_t row, int k) {
  constexpr int K = net::kTable.layer[L].K;
  for (int v = 0; v < kColumns; v += kLanes) {
    const Vec y = activate(load(sums + v), load(p.scale + channel + v), load(p.shift + channel + v));
    if constexpr (L < kMaps - 1) {
      store_terms<K>(reinterpret_cast<Bf16*>(map) + row * bf16_stride(K) + k + v, y);
    } else {
      store(map + row * map_stride(K) + k + v, y);
    }
  }
}

// ---- proj, in float vectors

template <int kR>
void proj_block(const PackedLayer& p, const Tile& tile, int panel, int face, int faces) {
  if constexpr (kR > 1) {
    if (faces < kR) return proj_block<kR - 1>(p, tile, panel, face, faces);
  }
  constexpr net::Layer l = net::kProj;
  alignas(64) float sums[kR * kColumns];
  const float* a = tile.noise + face * l.C;
  multiply<kR, kVecs, l.C, l.C>(a, p.weight + std::size_t(panel) * l.C * kColumns, a, sums, true);
  const int channel = panel * kColumns, position = channel / l.K, h = position / l.out_W, w = position % l.out_W;
  const std::size_t row = std::size_t(h * (l.out_W + 2) + 1 + w) * tile.faces + face;
  for (int r = 0; r < kR; ++r) store_row<0>(p, sums + r * kColumns, channel, tile.map[0], row + r, channel % l.K);
}

void proj(const PackedLayer& p, const Tile& tile, int panel) {
  for_each_block(tile.faces, kRows, [&](int face, int faces) { proj_block<kRows>(p, tile, panel, face, faces); });
}

// ---- tconv1-3

constexpr int kTileBytes = 64;                           // a row of a tile
constexpr int kStep = 32;                                // channels of a tile
constexpr int kTileFloats = kTileRows * 16;              // of sums; a tile of bf16 is as large
constexpr int kBlockRows = 2 * kTileRows;                // a block of sums: 2 x 2 tiles
constexpr int kStepBf16 = kTerms * 2 * kTileFloats * 2;  // of weights: 6 tiles, 6 KiB

struct Tap {
  const Bf16* a;  // the input at the tap's offset from position 0 of the row
  const Bf16* w;  // (C / 32, kTerms, 2, 16, 16, 2)
  bool ends_run;  // the sums of this tap and those before it are added up
};

// Adds a tap's products over all C channels to the sums in tile registers 0 and 1 (rows 0-15) and 2 and 3 (rows 16-31;
// not where kRowTiles is 1). Registers 4 and 5 hold inputs, 6 and 7 weights.
//
// Small products come first, and the walk through the six changes one operand at a time: 14 tiles are loaded for 24
// products. A product keeps the unit busy for 16 cycles and a load from L1 the load ports for 8. The weights of a panel
// and phase fit no L1, and often come from beyond L2: they are prefetched a step ahead, a few lines a product.
template <int L, int kRowTiles>
inline void multiply_tap(const Bf16* a, const Bf16* w) {
  constexpr int C = net::kTable.layer[L].C, kIn = bf16_stride(C);
  const auto load_a = [&](int term) {
    tile_load<4>(a + term * C, kIn * sizeof(Bf16));
    if constexpr (kRowTiles == 2) tile_load<5>(a + kTileRows * kIn + term * C, kIn * sizeof(Bf16));
  };
  const auto load_w = [&](int term) {
    tile_load<6>(w + term * 4 * kTileFloats, kTileBytes);
    tile_load<7>(w + (term * 4 + 2) * kTileFloats, kTileBytes);
  };
  const auto multiply_tiles = [] {
    tile_multiply<0, 4, 6>();
    tile_multiply<1, 4, 7>();
    if constexpr (kRowTiles == 2) {
      tile_multiply<2, 5, 6>();
      tile_multiply<3, 5, 7>();
    }
  };
  const auto prefetch_w = [&](int tile) {  // of the next step
    const Bf16* next = w + kStepBf16 + tile * 2 * kTileFloats;
    _Pragma("GCC unroll 16") for (int line = 0; line < kTileRows; ++line) __builtin_prefetch(next + line * kStep, 0, 3);
  };
  for (int c = 0; c < C; c += kStep, a += kStep, w += kStepBf16) {
    load_a(2), load_w(0), multiply_tiles(), prefetch_w(0);
    load_a(1), multiply_tiles(), prefetch_w(1);
    load_w(1), multiply_tiles(), prefetch_w(2);
    load_a(0), multiply_tiles(), prefetch_w(3);
    load_w(2), multiply_tiles(), prefetch_w(4);
    load_w(0), multiply_tiles(), prefetch_w(5);
  }
}

// rows (<= 16 x kRowTiles) of a phase's output row, from row `row` of its inputs on; n: faces.
template <int L, int kRowTiles>
void block(const PackedLayer& p, const Tap* taps, int count, const Tile& tile, std::size_t out, int row, int rows,
           int panel) {
  constexpr int kIn = bf16_stride(net::kTable.layer[L].C);
  constexpr std::size_t kSumBytes = kColumns * sizeof(float);
  alignas(64) float sums[kBlockRows * kColumns], run[kBlockRows * kColumns];
  bool first_run = true;
  for (int t = 0; t < count;) {
    tile_zero<0>(), tile_zero<1>();
    if constexpr (kRowTiles == 2) tile_zero<2>(), tile_zero<3>();
    do multiply_tap<L, kRowTiles>(taps[t].a + std::size_t(row) * kIn, taps[t].w);
    while (!taps[t++].ends_run);
    float* to = first_run ? sums : run;
    tile_store<0>(to, kSumBytes), tile_store<1>(to + 16, kSumBytes);
    if constexpr (kRowTiles == 2) {
      tile_store<2>(to + kTileRows * kColumns, kSumBytes), tile_store<3>(to + kTileRows * kColumns + 16, kSumBytes);
    }
    if (!first_run) {
      for (int i = 0; i < kRowTiles * kTileRows * kColumns; i += kLanes)
        store(sums + i, load(sums + i) + load(run + i));
    }
    first_run = false;
  }
  const int channel = panel * kColumns;
  for (int r = 0; r < rows; ++r) {
    const int j = (row + r) / tile.faces, face = (row + r) % tile.faces;
    store_row<L>(p, sums + r * kColumns, channel, tile.map[L], out + std::size_t(2 * j) * tile.faces + face, channel);
  }
}

// The phases and taps are those of kernels_simd.h. All positions j of an output row and all faces make the rows of one
// product, border zeros included: tiles of 16 rows fill up that way, which is worth more than the taps saved. Rows past
// the last one are computed and dropped.
//
// A run of sums is a tap of tconv1 and a filter row of the others (at most 24 steps of 32 channels): as in
// kernels_simd.h, short runs keep rounding errors small, and what ends a run is the same wherever a face is computed.
template <int L>
void tconv(const PackedLayer& p, const Tile& tile, int phase, int panel, int begin, int end) {
  constexpr net::Layer l = net::kTable.layer[L];
  constexpr std::size_t kTapBf16 = std::size_t(l.C) * kColumns * kTerms;
  const std::size_t n = tile.faces;
  const int pi = phase / 2, pj = phase % 2;
  const Bf16* input = reinterpret_cast<const Bf16*>(tile.map[L - 1]);
  const Bf16* weight = reinterpret_cast<const Bf16*>(p.weight) + panel * net::kFilter * net::kFilter * kTapBf16;

  for (int i = begin; i < end; ++i) {
    Tap taps[9];
    int count = 0;
    for (int r = 1 - pi; r < net::kFilter; r += net::kStride) {
      const int h = i + (pi + net::kCut - r) / net::kStride;
      if (h < 0 || h >= l.H) continue;
      for (int s = 1 - pj; s < net::kFilter; s += net::kStride) {
        const int shift = (pj + net::kCut - s) / net::kStride;
        const bool last_column = s + net::kStride >= net::kFilter;
        taps[count++] = {input + (h * (l.W + 2) + 1 + shift) * n * bf16_stride(l.C),
                         weight + (r * net::kFilter + s) * kTapBf16, L == 1 || last_column};
      }
    }
    const std::size_t out = ((2 * i + pi) * (l.out_W + 2) + 1 + pj) * n;
    const int rows = l.W * tile.faces;
    for (int row = 0; row < rows; row += kBlockRows) {
      const int left = rows - row;
      if (left > kTileRows) {
        block<L, 2>(p, taps, count, tile, out, row, left < kBlockRows ? left : kBlockRows, panel);
      } else {
        block<L, 1>(p, taps, count, tile, out, row, left, panel);
      }
    }
  }
}

constexpr int kAlways = kTileFaces + 1;  // border_faces: a tile of any size reads the borders
constexpr Kernels kKernels = {kName,        true,
                              kColumns,     kTileFaces,
                              kAlways,      kFacesPerS,
                              proj,         {nullptr, tconv<1>, tconv<2>, tconv<3>},
                              tconv4,       tiles_configure,
                              tiles_release};

}  // namespace
