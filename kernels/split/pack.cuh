// Takes a network in: folds bias and batch normalisation into one scale and shift per column, chooses the powers of
// two, writes the weights in the split format, in the order of Plan, and says whether the network is fit for it.
//
// fp16 ends at 65,504 and at 2^-24, so operands are kept times powers of two:
//   map     channel c: x 2^e_c, such that a typical value lies near 2^target_exponent. What is typical follows from the
//           weights and the batch normalisation alone: mean and mean square of every channel are carried from layer to
//           layer, for noise of mean 0 and a given rms and independent terms.
//   weight  of output channel k: w 2^(f_k - e_c), the largest of the channel in [2^13, 2^14)
//   sum     comes out times 2^f_k; scale and shift take that away and put the next map's 2^e_k on.
// Powers of two are exact, so the bits of a result do not depend on them, short of the two ends.
//
// A network is unfit where a number of it or an exponent leaves the range, and where its errors would grow too large: the
// variance of the error is carried from layer to layer beside the moments. What the products of a layer are off by is
// absolute, a share of what is expected; so a network whose real values are smaller than expected (small noise with
// large weights behind it, say) is found by its gain, like any other. Values that are larger than expected are noticed
// while faces are computed.
#ifndef FACEGEN_KERNELS_SPLIT_PACK_CUH_
#define FACEGEN_KERNELS_SPLIT_PACK_CUH_

#include <cstdint>

#include "kernels/layer.cuh"
#include "kernels/split/format.cuh"
#include "network.h"

// What one kind of kernels makes of the operands.
struct Precision {
  float loss;             // of one addition, as a share of the sum, that packed weights make up for (see kLoss)
  float noise_rms;        // of typical noise
  float error16, error8;  // what a product is off by, as a share of it, with 16-bit and with 8-bit corrections
};

// What a face may be off by in the mean (rms), by the prediction: a twentieth of 2e-4. The worst of 12,288 values of a
// million faces of the shipped network is 15 to 50 times as much.
constexpr float kMostError = 1e-5f;

// What is typical of a map's channels, in real units.
struct Channels {
  float mean[512], square[512];  // of x and x^2, after ReLU
  float error[512];              // variance of the error
  int exponent[512];             // e: kept times 2^e
};

namespace {

struct Moments {
  float mean, square, above;  // of max(x, 0) and its square; P(x > 0)
};

// For x normal with that mean and deviation.
__device__ inline Moments relu_moments(float mean, float deviation) {
  if (!(deviation > 0)) return {fmaxf(mean, 0.f), fmaxf(mean, 0.f) * fmaxf(mean, 0.f), mean > 0 ? 1.f : 0.f};
  const float a = mean / deviation;
  const float above = 0.5f * erfcf(-a * 0.70710678f);
  const float density = 0.39894228f * expf(-0.5f * a * a);
  return {fmaxf(mean * above + deviation * density, 0.f),
          fmaxf((mean * mean + deviation * deviation) * above + mean * deviation * density, 0.f), above};
}

__device__ inline void require(bool fit, volatile int* unfit) {
  if (!fit) *unfit = 1;
}

// Neither over- nor underflowed.
__device__ inline bool in_range(float x) { return fabsf(x) > 1e-30f && fabsf(x) < 1e30f; }

// The power of two that brings x to [2^target, 2^(target + 1)); 0 where x is 0.
__device__ inline int exponent_towards(int target, float x, volatile int* unfit) {
  require(x == 0 || in_range(x), unfit);
  return in_range(x) ? target - ilogbf(x) : 0;
}

// Writes 8 neighbouring channels c .. c + 7 of one row of C weights.
template <bool eight>
__device__ inline void write_weights(char* row, int C, int c, const float (&w)[8]) {
  union {
    __half2 half2[4];
    uint4 bits;
  } hi, lo;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const SplitPair s = split_pair(w[2 * i], w[2 * i + 1]);
    hi.half2[i] = s.hi;
    lo.half2[i] = s.lo;
    if (eight) {
      const Corrections8 e = corrections8(w[2 * i], w[2 * i + 1], s.hi, power_of_two(kWeightHi8Exponent),
                                          power_of_two(kWeightLo8Exponent));
      char* first = row + first8_byte(C, c + 2 * i);
      *reinterpret_cast<uint16_t*>(first) = uint16_t(e.hi);
      *reinterpret_cast<uint16_t*>(first + kPieceBytes / 2) = uint16_t(e.lo);
    }
  }
  *reinterpret_cast<uint4*>(row + hi_byte(eight, c)) = hi.bits;
  if (!eight) *reinterpret_cast<uint4*>(row + lo16_byte(c)) = lo.bits;
}

// scale and shift of a column whose sums come out times 2^f and whose map is kept times 2^e.
__device__ inline float2 fold_column(const Norm& norm, int e, int f, volatile int* unfit) {
  const float2 fold = make_float2(float(ldexp(norm.scale, e - f)), float(ldexp(norm.shift, e)));
  require((norm.scale == 0 || in_range(fold.x)) && isfinite(fold.y), unfit);
  return fold;
}

constexpr int kPackProjChannels = 8;  // a block's; it has all 16 positions of each: 128 columns, one per thread

// proj: network -> packed (8192) rows of 128 channels, fold (8192) {scale, shift}, out. Grid 64 blocks x 128 threads.
// eight: the map has 8-bit corrections.
__global__ void pack_proj(const float* __restrict__ network, bool eight, Precision precision, char* __restrict__ packed,
                          float2* __restrict__ fold, Channels* out, volatile int* unfit) {
  constexpr net::Layer l = net::kProj;
  constexpr int kPositions = l.out_H * l.out_W, kColumns = kPositions * l.K;
  const int channel = threadIdx.x % kPackProjChannels, position = threadIdx.x / kPackProjChannels;
  const int k = blockIdx.x * kPackProjChannels + channel;
  const int column = position * l.K + k;
  const float* weight = network + l.weight + column;  // (100), kColumns apart
  float largest = 0, squares = 0;
#pragma unroll 20
  for (int c = 0; c < l.C; ++c) {
    const float w = weight[c * kColumns];
    largest = fmaxf(largest, fabsf(w));
    squares += w * w;
  }
  require(squares == 0 ? largest == 0 : in_range(squares), unfit);
  const Norm norm = fold_norm(l, network, k, network[l.bias + column]);
  const float mean = float(norm.shift), deviation = float(fabs(norm.scale)) * sqrtf(squares) * precision.noise_rms;
  const Moments moments = relu_moments(mean, deviation);
  const float error = precision.error16 * deviation;

  // Over the positions, in a fixed order.
  __shared__ float4 seen[kPositions][kPackProjChannels];  // mean, square, error, size
  __shared__ int exponent[kPackProjChannels];
  seen[position][channel] = make_float4(moments.mean, moments.square, error * error * moments.above,
                                        sqrtf(mean * mean + deviation * deviation));
  __syncthreads();
  if (position == 0) {
    float4 sum = make_float4(0, 0, 0, 0);
    for (int p = 0; p < kPositions; ++p) {
      const float4 s = seen[p][channel];
      sum =
          make_float4(sum.x + s.x / kPositions, sum.y + s.y / kPositions, sum.z + s.z / kPositions, fmaxf(sum.w, s.w));
    }
    out->mean[k] = sum.x;
    out->square[k] = sum.y;
    out->error[k] = sum.z;
    out->exponent[k] = exponent[channel] = exponent_towards(target_exponent(eight), sum.w, unfit);
  }
  __syncthreads();
  const int f = exponent_towards(kWeightExponent, ldexpf(largest, -kNoiseExponent), unfit);
  fold[column] = fold_column(norm, exponent[channel], f, unfit);

  char* row = packed + column * split_row_bytes(kNoisePadded);
  for (int c = 0; c < kNoisePadded; c += 8) {
    const float factor = loss_factor(precision.loss, false, Plan<0>::kPieces, c);
    float w[8];
#pragma unroll
    for (int i = 0; i < 8; ++i)
      w[i] = c + i < l.C ? ldexpf(factor * weight[(c + i) * kColumns], f - kNoiseExponent) : 0.f;
    write_weights<false>(row, kNoisePadded, c, w);
  }
}

constexpr int kPackWarps = net::kFilter * net::kFilter;  // a warp per filter tap

// tconv: network -> packed (25 K) rows of C channels, fold (phases x K) {scale, shift}, out (nullptr: last layer), and
// the sum of a face's whole input map as it is expected, kept. A block per output channel k, a warp per tap. The rows of
// tconv4 (Plan has no such layer) go in file order: 3 (5 r + s) + k. eight: the input has 8-bit corrections.
template <int layer, bool eight>
__global__ void pack_tconv(const float* __restrict__ network, bool out_eight, Precision precision, const Channels* in,
                           char* __restrict__ packed, float2* __restrict__ fold, Channels* out, float* expected_sum,
                           volatile int* unfit) {
  constexpr net::Layer l = net::kTable.layer[layer];
  constexpr int C = l.C, K = l.K;
  const int k = blockIdx.x, tap = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int r = tap / net::kFilter, s = tap % net::kFilter;
  const float* weight = network + l.weight + (size_t(tap) * K + k) * C;  // (C)
  const float product = eight ? precision.error8 : precision.error16;

  float mean = 0, variance = 0, error = 0, largest = 0;  // of this tap's share of the sum
  for (int c = lane; c < C; c += 32) {
    const float w = weight[c];
    mean += w * in->mean[c];
    variance += w * w * fmaxf(in->square[c] - in->mean[c] * in->mean[c], 0.f);
    error += w * w * (in->error[c] + product * product * in->square[c]);
    largest = fmaxf(largest, fabsf(ldexpf(w, -in->exponent[c])));
    require(isfinite(w), unfit);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    mean += __shfl_xor_sync(~0u, mean, step);
    variance += __shfl_xor_sync(~0u, variance, step);
    error += __shfl_xor_sync(~0u, error, step);
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, step));
  }

  __shared__ float4 of_tap[kPackWarps];  // mean, variance, error, largest
  __shared__ int f;
  if (lane == 0) of_tap[tap] = make_float4(mean, variance, error, largest);
  __syncthreads();
  if (threadIdx.x == 0) {
    const Norm norm = fold_norm(l, network, k, network[l.bias + k]);
    const float scale = float(norm.scale);
    float top = 0, size = 0, all_variance = 0;
    for (const float4& t : of_tap) {
      top = fmaxf(top, t.w);
      all_variance += t.y;
    }
    require(all_variance == 0 || in_range(all_variance), unfit);
    f = exponent_towards(kWeightExponent, top, unfit);
    float4 map = make_float4(0, 0, 0, 0);      // mean, square, error
    for (int phase = 0; phase < 4; ++phase) {  // the sum over a phase's taps, away from the border
      float4 sum = make_float4(0, 0, 0, 0);
      for (int t = 0; t < kPackWarps; ++t) {
        if (tap_phase(t / net::kFilter) != phase / 2 || tap_phase(t % net::kFilter) != phase % 2) continue;
        sum = make_float4(sum.x + of_tap[t].x, sum.y + of_tap[t].y, sum.z + of_tap[t].z, 0);
      }
      const float x = scale * sum.x + float(norm.shift), deviation = fabsf(scale) * sqrtf(sum.y);
      Moments m = relu_moments(x, deviation);
      if (!l.batch_norm) m.above = 1;  // no ReLU follows
      map = make_float4(map.x + m.mean / 4, map.y + m.square / 4, map.z + scale * scale * sum.z * m.above / 4, 0);
      size = fmaxf(size, sqrtf(x * x + deviation * deviation));
    }
    int e = 0;
    if (out != nullptr) {
      e = exponent_towards(target_exponent(out_eight), size, unfit);
      out->mean[k] = map.x;
      out->square[k] = map.y;
      out->error[k] = map.z;
      out->exponent[k] = e;
    } else {
      require(map.z <= kMostError * kMostError, unfit);
    }
    const float2 folded = fold_column(norm, e, f, unfit);
    constexpr int kPhases = layer == 4 ? 1 : 256 / K;
    for (int phase = 0; phase < kPhases; ++phase) fold[phase * K + k] = folded;
  }
  __syncthreads();

  if (k == 0 && tap == 0) {
    float kept = 0;
    for (int c = lane; c < C; c += 32) kept += ldexpf(in->mean[c], in->exponent[c]);
    for (int step = 16; step > 0; step /= 2) kept += __shfl_xor_sync(~0u, kept, step);
    if (lane == 0) *expected_sum = l.H * l.W * kept;
  }

  int row = tap * K + k, pieces = C / kPieceChannels;
  if constexpr (layer != 4) {
    row = Plan<layer>::weight_row(r, s) + k;
    pieces = pieces_after<layer, eight>(r, s);
  }
  for (int c = 8 * lane; c < C; c += 8 * 32) {
    const float factor = loss_factor(precision.loss, eight, pieces, c);
    float w[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) w[i] = ldexpf(factor * weight[c + i], f - in->exponent[c + i]);
    write_weights<eight>(packed + row * split_row_bytes(C), C, c, w);
  }
}

}  // namespace

#endif  // FACEGEN_KERNELS_SPLIT_PACK_CUH_
