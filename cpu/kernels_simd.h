// Body of kernels_plain.cpp, kernels_avx2.cpp and kernels_avx512.cpp, which define kName, kLanes, kRows, kVecs,
// kTileFaces and kFacesPerS, and then include this file: kLanes floats in a vector register, kRows x kVecs accumulators in
// a micro-tile. Nothing in here may have a name that the linker could share between the three: everything is in an
// anonymous namespace, and there is nothing of the standard library.
#include "cpu/kernels.h"

namespace {

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int IntVec __attribute__((vector_size(kLanes * 4)));
typedef float AlignedVec __attribute__((vector_size(kLanes * 4), may_alias));
typedef float UnalignedVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

constexpr int kColumns = kVecs * kLanes;
constexpr int kLine = 16;  // floats in a cache line

inline Vec load(const float* p) { return *reinterpret_cast<const AlignedVec*>(p); }
inline Vec load_unaligned(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<AlignedVec*>(p) = v; }
inline void store_unaligned(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }

// ---- The micro-tile: rows x columns of one matrix product

// Adds a run of products to the sums of a block, or sets them where it is the first. a: kR rows of stride kStride, of
// which kRun values count; w (kRun, kV * kLanes); sums (kR, kV * kLanes).
//
// The order of additions is that of c, whatever the shape of the block: results do not depend on it. Runs are short
// (kLongestRun), as the rounding error of a sum grows with the number of additions in one chain: with one chain for all
// 4,608 products of a tconv1 pixel the faces are four times as far off. Not inlined, or GCC keeps the sums in registers
// that the accumulators need.
//
// next: the rows of the block after this one, which lie right behind this block's. They are prefetched a cache line a
// step, as no hardware prefetcher keeps up with 14 rows at a time: into L1 where two blocks leave room for the weights
// that stream through it, else into L2. With many channels and short vectors the hardware has time enough, and a step
// none to spare.
template <int kR, int kV, int kRun, int kStride>
__attribute__((noinline)) void multiply(const float* a, const float* w, const float* next, float* sums, bool first) {
  constexpr int kChannels = kStride - kPadding;
  constexpr bool kPrefetch = kStride != net::kProj.C && kChannels <= 16 * kLanes;
  constexpr int kNear = kR * kChannels * int(sizeof(float)) <= 16 << 10 ? 3 : 2;  // L1 or L2, for the builtin
  Vec sum[kR][kV] = {};
  for (int c = 0; c < kRun; ++c) {
    if constexpr (kPrefetch) __builtin_prefetch(next + c * kLine, 0, kNear);
    Vec column[kV];
    for (int v = 0; v < kV; ++v) column[v] = load(w + (c * kV + v) * kLanes);
    _Pragma("GCC unroll 16") for (int r = 0; r < kR; ++r) {
      _Pragma("GCC unroll 4") for (int v = 0; v < kV; ++v) sum[r][v] += a[r * kStride + c] * column[v];
    }
  }
  _Pragma("GCC unroll 16") for (int r = 0; r < kR; ++r) {
    _Pragma("GCC unroll 4") for (int v = 0; v < kV; ++v) {
      float* at = sums + (r * kV + v) * kLanes;
      store(at, first ? sum[r][v] : load(at) + sum[r][v]);
    }
  }
}

// Folded batch normalisation and ReLU.
inline Vec activate(Vec sum, Vec scale, Vec shift) {
  const Vec y = sum * scale + shift;
  return y > 0.0f ? y : Vec{};
}

// Splits `rows` rows into blocks of at most `most`, as equal as can be, and calls block(first, rows) for each.
template <class Block>
inline __attribute__((always_inline)) void for_each_block(int rows, int most, const Block& block) {
  const int blocks = (rows + most - 1) / most;
  for (int b = 0; b < blocks; ++b) block(rows * b / blocks, rows * (b + 1) / blocks - rows * b / blocks);
}

// ---- proj and tconv1 to tconv3

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

// ---- tconv4 and tanh

// e^z for z in [0, 20]: 2^k times e^r with |r| <= ln 2 / 2, where e^r = 1 + r + r^2 q(r), q fitted to 3e-9.
inline Vec exp_of(Vec z) {
  constexpr float kRound = 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer, which lies in the low bits
  const Vec shifted = z * 1.44269504f + kRound;
  const Vec k = shifted - kRound;
  const Vec r = (z - k * 0.693145752f) - k * 1.42860677e-6f;  // ln 2 in two parts
  const Vec q = (((r * 0.0013813142f + 0.008369419f) * r + 0.041668456f) * r + 0.16666515f) * r + 0.49999994f;
  const Vec e = r * r * q + r + 1.0f;
  return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(e) + (reinterpret_cast<IntVec>(shifted) << 23));
}

// tanh |x| = 1 - 2 / (e^2|x| + 1), and near 0, where that cancels, an odd polynomial fitted to 2e-10. Not-a-number
// stays.
inline Vec tanh_of(Vec x) {
  const IntVec sign = reinterpret_cast<IntVec>(x) & IntVec(IntVec{} + int(0x80000000u));
  const Vec magnitude = reinterpret_cast<Vec>(reinterpret_cast<IntVec>(x) ^ sign);
  const Vec t = magnitude > 9.5f ? Vec{} + 9.5f : magnitude;  // 1 from there on, in float
  const Vec s = t * t;
  const Vec poly =
      ((((s * 0.0021429588f - 0.008177395f) * s + 0.021700703f) * s - 0.053946763f) * s + 0.13333206f) * s - 0.3333333f;
  const Vec y = t < 0.625f ? t * s * poly + t : 1.0f - 2.0f / (exp_of(t + t) + 1.0f);
  return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(y) | sign);
}

// tconv4 has 3 output channels, too few for a panel. So it scatters: input position w times filter row r gives 5 pixels
// x 3 channels, 15 neighbouring values of image row 2h + r - 1, from pixel 2w - 1 on. They are added into a strip of
// image rows; what falls off the sides lands in its margins. A row that is complete goes through tanh into the face.
// Every pixel takes its contributions in the order of (h, w), whichever rows the call was asked for.
constexpr int kStripRows = 8;                                     // a ring; 5 are in use at a time
constexpr int kStripWidth = (net::kFaceW + 3) * net::kFaceC + 7;  // (1 + 64 + 2 pixels) x 3, up to whole vectors: 208
constexpr int kRowFloats = net::kFaceW * net::kFaceC;             // 192
constexpr int kStripVecs = kStripLanes / kLanes;
constexpr int kStripBlock = kRows * kVecs / kStripVecs < 14 ? kRows * kVecs / kStripVecs : 14;

struct Strip {
  alignas(64) float row[kStripRows][kTileFaces][kStripWidth];
};

template <int kR>
void strip_block(int rows, const float* a, const float* w, float (*strip)[kStripWidth], int row, int faces) {
  if constexpr (kR > 1) {
    if (rows < kR) return strip_block<kR - 1>(rows, a, w, strip, row, faces);
  }
  constexpr int kIn = map_stride(net::kTconv4.C);
  alignas(64) float sums[kR * kStripLanes];
  multiply<kR, kStripVecs, net::kTconv4.C, kIn>(a, w, a + kR * kIn, sums, true);
  int position = row / faces, face = row % faces;
  for (int r = 0; r < kR; ++r) {
    float* at = strip[face] + position * net::kStride * net::kFaceC;
    for (int v = 0; v < kStripLanes; v += kLanes) {
      store_unaligned(at + v, load_unaligned(at + v) + load(sums + r * kStripLanes + v));
    }
    if (++face == faces) face = 0, ++position;
  }
}

// Strip row -> image row y, and zeros in the strip row.
void finish_row(float (*strip)[kStripWidth], const float* bias, const Tile& tile, int y) {
  for (int face = 0; face < tile.faces; ++face) {
    const float* from = strip[face] + net::kFaceC;
    float* to = tile.out + std::size_t(face) * net::kFaceFloats + y * kRowFloats;
    for (int x = 0; x < kRowFloats; x += kLanes) {
      store_unaligned(to + x, tanh_of(load_unaligned(from + x) + load(bias + x)));
    }
    for (int x = 0; x < kStripWidth; x += kLanes) store(strip[face] + x, Vec{});
  }
}

void tconv4(const PackedLayer& p, const Tile& tile, int begin, int end) {
  constexpr net::Layer l = net::kTconv4;
  constexpr int kIn = map_stride(l.C);
  const int first = net::kStride * begin, last = net::kStride * end;  // image rows
  Strip strip;
  for (int y = 0; y < kStripRows; ++y) {
    for (int face = 0; face < tile.faces; ++face) {
      for (int x = 0; x < kStripWidth; x += kLanes) store(strip.row[y][face] + x, Vec{});
    }
  }
  int done = first;
  for (int h = begin > 0 ? begin - 1 : 0; h < l.H && h <= end; ++h) {
    const float* a = tile.map[3] + std::size_t(h * (l.W + 2) + 1) * tile.faces * kIn;
    for (int r = 0; r < net::kFilter; ++r) {
      const int y = net::kStride * h + r - net::kCut;
      if (y < first || y >= last) continue;
      const float* w = p.weight + r * l.C * kStripLanes;
      for_each_block(l.W * tile.faces, kStripBlock, [&](int row, int rows) {
        strip_block<kStripBlock>(rows, a + std::size_t(row) * kIn, w, strip.row[y % kStripRows], row, tile.faces);
      });
    }
    const int complete = h + 1 < l.H ? net::kStride * h + 1 : last;  // image rows that no later h reaches
    for (; done < complete && done < last; ++done) finish_row(strip.row[done % kStripRows], p.shift, tile, done);
  }
}

constexpr Kernels kKernels = {
    kName, kColumns, kTileFaces, kFewFaces, kFacesPerS, proj, {nullptr, tconv<1>, tconv<2>, tconv<3>}, tconv4};

}  // namespace
