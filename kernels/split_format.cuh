// How the Hopper generator lays out operands: every fp32 value as two fp16 terms, and every layer as matrix products.
//
// Split.    x = hi + lo, hi = fp16(x), lo = fp16(x - hi) to 7 bits: 19 bits. A product is hi hi' + hi lo' + lo hi'.
// (The
//           bits that lo lacks would cost power, and power is the limit: they are worth 3 % of the speed.)
// Rows.     4 C bytes: per block of 32 channels its 32 his, then its 32 los. So 128 bytes hold 32 channels, and one
// bulk
//           copy brings both terms.
// Maps.     (H, W, N) rows: position-major, batch-inner.
// Weights.  A row is one output column of one product, see Plan.
// Scales.   Everything is kept times powers of two (fold_network.cuh), so that his stay below fp16's 65,504 and los
// well
//           above its 2^-24.
#ifndef FACEGEN_KERNELS_SPLIT_FORMAT_CUH_
#define FACEGEN_KERNELS_SPLIT_FORMAT_CUH_

#include <cuda_fp16.h>

#include <cstddef>

#include "network.h"

constexpr int kSplitBlock = 32;      // channels in a block
constexpr int kRowBytes = 128;       // of a block
constexpr int kNoisePadded = 128;    // the 100 noise values, padded with zeros to whole blocks
constexpr int kNoiseExponent = 4;    // noise is kept times 2^4
constexpr int kTargetExponent = 4;   // a typical value of a map is kept near 2^4
constexpr int kWeightExponent = 13;  // the largest weight of an output channel is kept in [2^13, 2^14)
constexpr float kLargest = 65504;    // of a map

__host__ __device__ constexpr std::size_t split_row_bytes(int channels) { return std::size_t(4) * channels; }

// Byte of a row at which channel c's hi lies; its lo lies kRowBytes / 2 further.
__host__ __device__ constexpr int hi_byte(int c) { return c / kSplitBlock * kRowBytes + c % kSplitBlock * 2; }

// Output row 2 i + p of a tconv takes input row i + d through filter row p + 1 - 2 d, where that is in 0..4:
//   p = 0: d = 0, -1 -> r = 1, 3        p = 1: d = 1, 0, -1 -> r = 0, 2, 4        (columns alike)
__host__ __device__ constexpr int filter_tap(int p, int d) { return p + 1 - 2 * d; }
__host__ __device__ constexpr int tap_parity(int r) { return r % 2 == 0 ? 1 : 0; }
__host__ __device__ constexpr int tap_shift(int r) { return (tap_parity(r) + 1 - r) / 2; }  // d

// A layer as matrix products with 256 columns. Several output pixels of a 2x2 block ("phases") share a product where K
// is small, so that an input tile is loaded once for all of them:
//   proj    1 phase  x 256 of the 8192 columns
//   tconv1  1 phase  x 256
//   tconv2  2 phases x 128: odd, even output column
//   tconv3  4 phases x  64: (row, column) odd-odd, odd-even, even-odd, even-even
// A position of the plan is a pixel of the output (1 phase), a pair (2) or a 2x2 block (4).
template <int layer>
struct Plan {
  static constexpr bool kProj = layer == 0;
  static constexpr int H = net::kTable.layer[layer].H, W = net::kTable.layer[layer].W;
  static constexpr int C = kProj ? kNoisePadded : net::kTable.layer[layer].C, K = net::kTable.layer[layer].K;
  static constexpr int out_W = net::kTable.layer[layer].out_W;
  static constexpr int kRowPhases = layer == 3 ? 2 : 1;
  static constexpr int kColumnPhases = layer == 2 || layer == 3 ? 2 : 1;
  static constexpr int kPositionRows = kProj ? 4 : 2 * H / kRowPhases;
  static constexpr int kPositionColumns = kProj ? 8 : 2 * W / kColumnPhases;
  static constexpr int kPositions = kPositionRows * kPositionColumns;  // proj 32, tconv1 64, tconv2 128, tconv3 256
  static constexpr int kBlocks = C / kSplitBlock;                      // of a row
  static constexpr int kColumns = 256;
  static_assert(kProj || kRowPhases * kColumnPhases * K == kColumns, "the phases of a position fill the columns");

  // First of the K packed weight rows that hold filter tap (r, s). The taps that input pixel (i + di, j + dj) needs for
  // the phases it reaches are neighbours, in the order of the phases.
  __host__ __device__ static constexpr int weight_row(int r, int s) {
    const int di = tap_shift(r), dj = tap_shift(s);
    const int odd_row = tap_parity(r), odd_column = tap_parity(s);
    if (kColumnPhases == 1) return (r * 5 + s) * K;
    if (kRowPhases == 1) return (r * 5 + 4 - s) * K;
    if (di <= 0 && dj <= 0) {
      const int phase = (odd_row ? 1 : 3) - odd_column;
      return ((2 * (di + 1) + dj + 1) * 4 + phase) * K;
    }
    if (dj <= 0) return (16 + 2 * (dj + 1) + 1 - odd_column) * K;
    if (di <= 0) return (20 + 2 * (di + 1) + (odd_row ? 0 : 1)) * K;
    return 24 * K;
  }

  // First packed weight row for the input pixel at (di, dj) from the position's own. row_parity, column_parity: of the
  // output pixel, where the position is only one.
  __host__ __device__ static constexpr int step_row(int di, int dj, int row_parity, int column_parity) {
    if (kColumnPhases == 1) return weight_row(filter_tap(row_parity, di), filter_tap(column_parity, dj));
    if (kRowPhases == 1) return weight_row(filter_tap(row_parity, di), filter_tap(1, dj));
    return weight_row(filter_tap(1, di), filter_tap(1, dj));
  }
};

// A tensor core cuts its fp32 sums off instead of rounding them: every addition brings the sum a little closer to zero,
// on an H100 by 0.45 x 2^-24 of itself on average (measured over shipped and random networks). Over the up to 864
// additions of tconv1 that is 10 times what rounding would cost. But the order of the sums is fixed, so what each
// product is going to lose is known when weights are packed: one that n additions follow is made larger by 1 + n kLoss.
constexpr float kLoss = 0.45f / (1 << 24);
constexpr int kAdditions = 6;  // a block's: 2 steps of 16 channels x 3 products, of which the last are hi hi'

// Blocks of the same output pixel that are added after the products of tap (r, s) begin, away from the border.
template <int layer>
__host__ __device__ constexpr int blocks_after(int r, int s) {
  using P = Plan<layer>;
  auto turn = [](int row, int column) {  // shifts in the order in which they are walked
    const int di = tap_shift(row), dj = tap_shift(column);
    return (P::kRowPhases == 2 && di > 0 ? 200 : 0) + (P::kColumnPhases == 2 && dj > 0 ? 100 : 0) + 3 * di + dj;
  };
  int later = 0;
  for (int row = r % 2; row < net::kFilter; row += 2)
    for (int column = s % 2; column < net::kFilter; column += 2) later += turn(row, column) > turn(r, s) ? 1 : 0;
  return (later + 1) * P::kBlocks;
}

// Factor for the weight of a channel in block `block`, where `blocks` are added from its row's first one on, and an
// addition loses `loss` of the sum.
__host__ __device__ constexpr float expected_loss(float loss, int blocks, int block) {
  return 1 + loss * (kAdditions * (blocks - 1 - block) + 1.5f);
}

struct SplitPair {
  __half2 hi, lo;
};

// Two neighbouring values.
__device__ inline SplitPair split_pair(float a, float b) {
  SplitPair s;
  s.hi = __floats2half2_rn(a, b);
  union {
    __half2 half2;
    unsigned bits;
  } lo;
  lo.half2 = __floats2half2_rn(a - __low2float(s.hi), b - __high2float(s.hi));
  lo.bits = (lo.bits + 0x00080008u) & 0xfff0fff0u;  // both to 7 bits, to nearest
  s.lo = lo.half2;
  return s;
}

#endif  // FACEGEN_KERNELS_SPLIT_FORMAT_CUH_
