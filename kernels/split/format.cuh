// How the generators for tensor cores lay out operands: every fp32 value as a sum of two terms, every layer as matrix
// products.
//
// Split.    x = hi + lo with the high term hi = fp16(x) and the low term lo = x - hi, and a product is
//           hi hi' + hi lo' + lo hi'. hi hi' is always of fp16; the two corrections, 2^-11 of it, come in two kinds:
//             16 bit  lo in fp16
//             8 bit   hi, lo, hi', lo' rounded to e4m3 (4 bits), which the tensor cores take at twice the rate: two
//                     units of time instead of three, for more error. Their sums come first, by themselves.
// Rows.     A pixel of a face, or an output column's weights for a filter tap: C channels in 4 C bytes, in pieces of
//           128 bytes (what one bulk copy brings, and the width of the swizzle).
//             16 bit  C / 32 pieces: 32 high terms, their 32 low terms
//             8 bit   C / 64 pieces: 64 high terms; then C / 64 pieces of e4m3: 64 low terms and their 64 high terms,
//                     or high and low where the row holds weights, so that each meets the other
// Maps.     (H, W, N) rows: position-major, batch-inner.
// Weights.  A row is one output column of one product, see Plan.
// Scales.   Everything is kept times powers of two (split/pack.cuh), so that high terms stay below fp16's 65,504, and
//           low terms well above its 2^-24.
#ifndef FACEGEN_KERNELS_SPLIT_FORMAT_CUH_
#define FACEGEN_KERNELS_SPLIT_FORMAT_CUH_

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstddef>
#include <cstdint>

#include "kernels/layer.cuh"
#include "network.h"

constexpr int kPieceBytes = 128;
constexpr int kPieceChannels = 32;   // in a piece with 16-bit corrections
constexpr int kNoisePadded = 128;    // the 100 noise values, padded with zeros to whole pieces
constexpr int kNoiseExponent = 4;    // noise is kept times 2^4
constexpr int kWeightExponent = 13;  // the largest weight of an output channel is kept in [2^13, 2^14)

// A typical value of a map is kept from two to this to twice that. With 8-bit corrections 2^3, as e4m3 wants it (below):
// there is room for 448 times as much or more. With 16-bit ones 2^0: for 32,752 times as much, and a low term still ends
// at 2^-24 of it.
__host__ __device__ constexpr int target_exponent(bool eight) { return eight ? 3 : 0; }

// A map with 8-bit corrections is kept less this, somewhat more than its positive values' mean. What terms are off by
// grows with their size, and ReLU leaves 0 and positive values: 0 becomes -16, which both formats hold exactly, and the
// others come to lie around 0. In an emulation (shipped network) that took 45, 42 and 35 % of the variance of errors of
// tconv1, 2 and 3.
// What the offset takes from the sums is one number a column, and is in its shift.
__host__ __device__ constexpr float map_offset(bool eight) { return eight ? 16.f : 0.f; }

// e4m3 reaches from 2^-9 to 448. Kept times these powers of two, a typical value's terms both lie near 1, the largest
// weight's near 2^7; a product of hi and lo' and one of lo and hi' both come out times 2^1.
constexpr int kHi8Exponent = -4, kLo8Exponent = 7;              // of maps
constexpr int kWeightHi8Exponent = -6, kWeightLo8Exponent = 5;  // of weights
constexpr float kCorrections8Factor = 0.5f;                     // takes the 2^1 away
constexpr float kLargest8 = 448;                                // of e4m3

// Whether a layer has 8-bit corrections. eight_layers: bit l is set where layer l has.
__host__ __device__ constexpr bool in_8_bits(unsigned eight_layers, int layer) { return eight_layers >> layer & 1; }

// What a map can hold.
__host__ __device__ constexpr float largest_value(bool eight) {
  return eight ? kLargest8 * (1 << -kHi8Exponent) : 65504;
}

__host__ __device__ constexpr std::size_t split_row_bytes(int channels) { return std::size_t(4) * channels; }

// Byte of a row at which channel c's high term lies, and its low term in a row with 16-bit corrections.
__host__ __device__ constexpr int hi_byte(bool eight, int c) {
  return eight ? 2 * c : c / 32 * kPieceBytes + c % 32 * 2;
}
__host__ __device__ constexpr int lo16_byte(int c) { return hi_byte(false, c) + kPieceBytes / 2; }

// Byte of a row of C channels at which the first of channel c's two e4m3 values lies; the other lies kPieceBytes / 2
// further.
__host__ __device__ constexpr int first8_byte(int C, int c) { return 2 * C + c / 64 * kPieceBytes + c % 64; }

// A layer as matrix products with 256 columns. Several output pixels of a 2x2 block ("phases") share a product where K
// is small, so that an input tile is loaded once for all of them:
//   proj    1 phase  x 256 of the 8192 columns
//   tconv1  1 phase  x 256
//   tconv2  2 phases x 128: odd, even output column
//   tconv3  4 phases x  64: (row, column) odd-odd, odd-even, even-odd, even-even
// A position of the plan is a pixel of the output (1 phase), a pair (2) or a 2x2 block (4).
template <int layer, bool eight = false>
struct Plan {
  static constexpr bool kProj = layer == 0;
  static constexpr bool kEight = eight;  // has 8-bit corrections
  static constexpr int H = net::kTable.layer[layer].H, W = net::kTable.layer[layer].W;
  static constexpr int C = kProj ? kNoisePadded : net::kTable.layer[layer].C, K = net::kTable.layer[layer].K;
  static constexpr int out_W = net::kTable.layer[layer].out_W;
  static constexpr int kRowPhases = layer == 3 ? 2 : 1;
  static constexpr int kColumnPhases = layer == 2 || layer == 3 ? 2 : 1;
  static constexpr int kPositionRows = kProj ? 4 : 2 * H / kRowPhases;
  static constexpr int kPositionColumns = kProj ? 8 : 2 * W / kColumnPhases;
  static constexpr int kPositions = kPositionRows * kPositionColumns;    // proj 32, tconv1 64, tconv2 128, tconv3 256
  static constexpr int kPieces = C / kPieceChannels / (kEight ? 2 : 1);  // of a row, in one pass (8 bit: of two)
  static constexpr int kColumns = 256;
  // What a map's offset adds to a sum depends on which filter taps it has: on the output pixel's phase, where positions
  // differ in it, and on whether the input pixel lies first, between or last in its column and in its row.
  static constexpr int kFolds = !kEight ? 1 : 9 * (kRowPhases == 1 ? 2 : 1) * (kColumnPhases == 1 ? 2 : 1);
  static_assert(kProj || kRowPhases * kColumnPhases * K == kColumns, "the phases of a position fill the columns");

  // First of the K packed weight rows that hold filter tap (r, s). The taps that input pixel (i + di, j + dj) needs for
  // the phases it reaches are neighbours, in the order of the phases.
  __host__ __device__ static constexpr int weight_row(int r, int s) {
    const int di = tap_shift(r), dj = tap_shift(s);
    const int odd_row = tap_phase(r), odd_column = tap_phase(s);
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

  // Which of the folds holds at input pixel (i, j). row_parity, column_parity: of the output pixel, or 0 where a position
  // has both.
  __host__ __device__ static constexpr int fold(int row_parity, int column_parity, int i, int j) {
    if (kFolds == 1) return 0;
    const int row = i == 0 ? 0 : i < H - 1 ? 1 : 2, column = j == 0 ? 0 : j < W - 1 ? 1 : 2;
    return 9 * (row_parity * (kColumnPhases == 1 ? 2 : 1) + column_parity) + 3 * row + column;
  }

  // First packed weight row for the input pixel at (di, dj) from the position's own. row_parity, column_parity: of the
  // output pixel, where the position is only one.
  __host__ __device__ static constexpr int step_row(int di, int dj, int row_parity, int column_parity) {
    if (kColumnPhases == 1) return weight_row(filter_index(row_parity, di), filter_index(column_parity, dj));
    if (kRowPhases == 1) return weight_row(filter_index(row_parity, di), filter_index(1, dj));
    return weight_row(filter_index(1, di), filter_index(1, dj));
  }
};

// A tensor core cuts its fp32 sums off instead of rounding them: every addition brings the sum a little closer to zero,
// on an H100 by 0.45 x 2^-24 of itself on average (measured over shipped and random networks). Over the up to 864
// additions of tconv1 that is 10 times what rounding would cost. But the order of the sums is fixed, so what each
// product is going to lose is known when weights are packed: one that n additions follow is made larger by 1 + n kLoss.
constexpr float kLoss = 0.45f / (1 << 24);

// Additions to a sum that one piece brings: 16 bit, 2 steps of 16 channels x 3 products, of which the last are hi hi';
// 8 bit, 4 steps of hi hi'.
__host__ __device__ constexpr int additions(bool eight) { return eight ? 4 : 6; }

// Pieces of the same output pixel that are added after the products of tap (r, s) begin, away from the border.
template <int layer, bool eight>
__host__ __device__ constexpr int pieces_after(int r, int s) {
  using P = Plan<layer, eight>;
  auto turn = [](int row, int column) {  // shifts in the order in which they are walked
    const int di = tap_shift(row), dj = tap_shift(column);
    return (P::kRowPhases == 2 && di > 0 ? 200 : 0) + (P::kColumnPhases == 2 && dj > 0 ? 100 : 0) + 3 * di + dj;
  };
  int later = 0;
  for (int row = r % 2; row < net::kFilter; row += 2)
    for (int column = s % 2; column < net::kFilter; column += 2) later += turn(row, column) > turn(r, s) ? 1 : 0;
  return (later + 1) * P::kPieces;
}

// Factor that makes up for the loss in the weight of channel c, where `pieces` are added from its row's first one on, and
// an addition loses `loss` of the sum.
__host__ __device__ constexpr float loss_factor(float loss, bool eight, int pieces, int c) {
  const int piece = c / (eight ? 2 * kPieceChannels : kPieceChannels);
  return 1 + loss * (additions(eight) * (pieces - 1 - piece) + (eight ? 2.5f : 1.5f));
}

__device__ inline uint32_t as_bits(__half2 x) { return *reinterpret_cast<const uint32_t*>(&x); }

struct SplitPair {
  __half2 hi, lo;
};

// Two neighbouring values.
__device__ inline SplitPair split_pair(float a, float b) {
  const __half2 hi = __floats2half2_rn(a, b);
  return {hi, __floats2half2_rn(a - __low2float(hi), b - __high2float(hi))};
}

// Two values in e4m3, the first in the low byte.
__device__ inline uint32_t to_e4m3(float a, float b) {
  return __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, __NV_E4M3);
}

__device__ inline float from_e4m3(uint32_t bits) {  // the low byte
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(__nv_fp8_storage_t(bits & 255), __NV_E4M3)));
}

struct Corrections8 {
  uint32_t hi, lo;  // of two neighbouring values, 16 bits each
};

// Two neighbouring values whose high terms are known: their terms in e4m3, times these powers of two.
__device__ inline Corrections8 corrections8(float a, float b, __half2 hi, float hi_factor, float lo_factor) {
  return {to_e4m3(a * hi_factor, b * hi_factor),
          to_e4m3((a - __low2float(hi)) * lo_factor, (b - __high2float(hi)) * lo_factor)};
}

__host__ __device__ constexpr float power_of_two(int exponent) {
  return exponent >= 0 ? float(1 << exponent) : 1.f / (1 << -exponent);
}

#endif  // FACEGEN_KERNELS_SPLIT_FORMAT_CUH_
