// Vectors of kLanes floats and the micro-tile, a small block of a matrix product: the arithmetic that all layers share.
//
// Included by sources that are compiled for different instruction sets and first define kLanes (floats in a vector
// register) and kRows x kVecs (the accumulators of a micro-tile). So nothing in here may have a name that the linker
// could share between them: everything is in an anonymous namespace, and there is nothing of the standard library.
#ifndef FACEGEN_CPU_MICRO_TILE_H_
#define FACEGEN_CPU_MICRO_TILE_H_

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

}  // namespace

#endif  // FACEGEN_CPU_MICRO_TILE_H_
