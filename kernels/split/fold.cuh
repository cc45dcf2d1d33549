// Takes a network in: folds bias and batch normalisation into one scale and shift per column, chooses the powers of
// two, and writes the weights in the split format, in the order of Plan.
//
// fp16 ends at 65,504 and at 2^-24, so operands are kept times powers of two:
//   map     channel c: x 2^e_c, such that a typical value lies near 2^4. What is typical follows from the weights and
//   the
//           BN parameters alone: mean and mean square of every channel are carried from layer to layer, for noise of
//           mean 0 and variance 1 and independent terms. Even if all 4,608 terms of a sum were the same, it would grow
//           by 68 only, and the maps have room for 4,000. A face that does overflow is noticed and computed again in
//           fp32 (split/redo.cuh); the choice costs speed then, never correctness.
//   weight  of output channel k: w 2^(f_k - e_c), the largest of the channel in [2^13, 2^14)
//   sum     comes out times 2^f_k; scale and shift take that away and put the next map's 2^e_k on.
// Powers of two are exact, so the bits of a result do not depend on them, short of the two ends.
#ifndef FACEGEN_KERNELS_SPLIT_FOLD_CUH_
#define FACEGEN_KERNELS_SPLIT_FOLD_CUH_

#include <cstdint>

#include "kernels/split/format.cuh"
#include "network.h"

// What is typical of a map's channels, in real units.
struct Channels {
  float mean[512], square[512];  // of x and x^2, after ReLU
  int exponent[512];             // e: kept times 2^e
};

namespace {

struct Norm {
  double scale, shift;  // scale * sum + shift = batch_norm(sum + bias)
};

__device__ inline Norm fold_norm(const net::Layer& l, const float* network, int k, float bias) {
  if (!l.batch_norm) return {1.0, double(bias)};
  const double scale = network[l.gamma + k] / sqrt(double(network[l.var + k]) + double(net::kBatchNormEps));
  return {scale, scale * (double(bias) - network[l.mean + k]) + network[l.beta + k]};
}

// Mean and mean square of max(x, 0) for x normal with that mean and deviation.
__device__ inline float2 relu_moments(float mean, float deviation) {
  if (!(deviation > 0)) return make_float2(fmaxf(mean, 0.f), fmaxf(mean, 0.f) * fmaxf(mean, 0.f));
  const float a = mean / deviation;
  const float below = 0.5f * erfcf(-a * 0.70710678f);  // P(x > 0)
  const float density = 0.39894228f * expf(-0.5f * a * a);
  return make_float2(fmaxf(mean * below + deviation * density, 0.f),
                     fmaxf((mean * mean + deviation * deviation) * below + mean * deviation * density, 0.f));
}

// The power of two that brings x to [2^target, 2^(target + 1)); 0 where x has none.
__device__ inline int exponent_towards(int target, float x) {
  if (!(x > 0) || isinf(x)) return 0;
  return max(-100, min(100, target - ilogbf(x)));
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
      *reinterpret_cast<uint16_t*>(first + kRowBytes / 2) = uint16_t(e.lo);
    }
  }
  *reinterpret_cast<uint4*>(row + hi_byte(eight, c)) = hi.bits;
  if (!eight) *reinterpret_cast<uint4*>(row + lo16_byte(c)) = lo.bits;
}

constexpr int kFoldProjChannels = 8;  // a block's; it has all 16 positions of each: 128 columns, one per thread

// proj: network -> packed (8192) rows of 128 channels, fold (8192) {scale, shift}, out. Grid 64 blocks x 128 threads.
__global__ void fold_proj(const float* __restrict__ network, char* __restrict__ packed, float2* __restrict__ fold,
                          Channels* out, int* __restrict__ unsafe, float addition_loss = kLoss) {
  constexpr net::Layer l = net::kProj;
  constexpr int kPositions = l.out_H * l.out_W, kColumns = kPositions * l.K;
  const int k = blockIdx.x * kFoldProjChannels + threadIdx.x % kFoldProjChannels;
  const int position = threadIdx.x / kFoldProjChannels;
  const int column = position * l.K + k;
  const float* weight = network + l.weight + column;  // (100), kColumns apart
  float largest = 0, squares = 0;
  bool finite = true;
#pragma unroll 20
  for (int c = 0; c < l.C; ++c) {
    const float w = weight[c * kColumns];
    largest = fmaxf(largest, fabsf(w));
    squares += w * w;
    finite = finite && isfinite(w);
  }
  const Norm norm = fold_norm(l, network, k, network[l.bias + column]);
  const float mean = float(norm.shift), deviation = float(fabs(norm.scale)) * sqrtf(squares);
  const float2 moments = relu_moments(mean, deviation);

  // Over the positions, in a fixed order.
  __shared__ float3 seen[kPositions][kFoldProjChannels];  // mean, square, size
  __shared__ int exponent[kFoldProjChannels];
  seen[position][threadIdx.x % kFoldProjChannels] =
      make_float3(moments.x, moments.y, sqrtf(mean * mean + deviation * deviation));
  __syncthreads();
  if (position == 0) {
    float3 sum = make_float3(0, 0, 0);
    for (int p = 0; p < kPositions; ++p) {
      const float3 s = seen[p][threadIdx.x];
      sum = make_float3(sum.x + s.x / kPositions, sum.y + s.y / kPositions, fmaxf(sum.z, s.z));
    }
    out->mean[k] = sum.x;
    out->square[k] = sum.y;
    out->exponent[k] = exponent[threadIdx.x] = exponent_towards(kTargetExponent, sum.z);
  }
  __syncthreads();
  const int e = exponent[threadIdx.x % kFoldProjChannels];
  const int f = exponent_towards(kWeightExponent, ldexpf(largest, -kNoiseExponent));
  fold[column] = make_float2(float(ldexp(norm.scale, e - f)), float(ldexp(norm.shift, e)));
  if (!finite || !isfinite(fold[column].x) || !isfinite(fold[column].y)) *unsafe = 1;

  char* row = packed + column * split_row_bytes(kNoisePadded);
  for (int c = 0; c < kNoisePadded; c += 8) {
    const float loss = expected_loss(addition_loss, false, Plan<0>::kBlocks, c);
    float w[8];
#pragma unroll
    for (int i = 0; i < 8; ++i)
      w[i] = c + i < l.C ? ldexpf(loss * weight[(c + i) * kColumns], f - kNoiseExponent) : 0.f;
    write_weights<false>(row, kNoisePadded, c, w);
  }
}

constexpr int kFoldWarps = net::kFilter * net::kFilter;  // a warp per filter tap

// tconv: network -> packed (25 K) rows of C channels, fold (phases x K) {scale, shift}, out (nullptr: last layer). A
// block per output channel k, a warp per tap. The rows of tconv4 (Plan has no such layer) go in file order: 3 (5 r + s)
// + k.
template <int layer, bool eight>
__global__ void fold_tconv(const float* __restrict__ network, const Channels* __restrict__ in,
                           char* __restrict__ packed, float2* __restrict__ fold, Channels* out,
                           int* __restrict__ unsafe, float addition_loss = kLoss) {
  constexpr net::Layer l = net::kTable.layer[layer];
  constexpr int C = l.C, K = l.K;
  const int k = blockIdx.x, tap = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int r = tap / net::kFilter, s = tap % net::kFilter;
  const float* weight = network + l.weight + (size_t(tap) * K + k) * C;  // (C)

  float mean = 0, variance = 0, largest = 0;  // of this tap's share of the sum
  bool finite = true;
  for (int c = lane; c < C; c += 32) {
    const float w = weight[c];
    mean += w * in->mean[c];
    variance += w * w * fmaxf(in->square[c] - in->mean[c] * in->mean[c], 0.f);
    largest = fmaxf(largest, fabsf(ldexpf(w, -in->exponent[c])));
    finite = finite && isfinite(w);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    mean += __shfl_xor_sync(~0u, mean, step);
    variance += __shfl_xor_sync(~0u, variance, step);
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, step));
  }
  if (!finite) *unsafe = 1;

  __shared__ float tap_mean[kFoldWarps], tap_variance[kFoldWarps], tap_largest[kFoldWarps];
  __shared__ int f;
  if (lane == 0) {
    tap_mean[tap] = mean;
    tap_variance[tap] = variance;
    tap_largest[tap] = largest;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    const Norm norm = fold_norm(l, network, k, network[l.bias + k]);
    float top = 0, size = 0;
    for (int t = 0; t < kFoldWarps; ++t) top = fmaxf(top, tap_largest[t]);
    f = exponent_towards(kWeightExponent, top);
    float2 moments = make_float2(0, 0);
    for (int phase = 0; phase < 4; ++phase) {  // the sum over a phase's taps, away from the border
      float phase_mean = 0, phase_variance = 0;
      for (int t = 0; t < kFoldWarps; ++t) {
        if (tap_parity(t / net::kFilter) != phase / 2 || tap_parity(t % net::kFilter) != phase % 2) continue;
        phase_mean += tap_mean[t];
        phase_variance += tap_variance[t];
      }
      const float x = float(norm.scale * phase_mean + norm.shift);
      const float deviation = float(fabs(norm.scale)) * sqrtf(phase_variance);
      const float2 m = relu_moments(x, deviation);
      moments = make_float2(moments.x + m.x / 4, moments.y + m.y / 4);
      size = fmaxf(size, sqrtf(x * x + deviation * deviation));
    }
    int e = 0;
    if (out != nullptr) {
      e = exponent_towards(kTargetExponent, size);
      out->mean[k] = moments.x;
      out->square[k] = moments.y;
      out->exponent[k] = e;
    }
    const float2 folded = make_float2(float(ldexp(norm.scale, e - f)), float(ldexp(norm.shift, e)));
    constexpr int kPhases = layer == 4 ? 1 : 256 / K;
    for (int phase = 0; phase < kPhases; ++phase) fold[phase * K + k] = folded;
    if (!isfinite(folded.x) || !isfinite(folded.y)) *unsafe = 1;
  }
  __syncthreads();

  int row = tap * K + k, blocks = C / kSplitBlock;
  if constexpr (layer != 4) {
    row = Plan<layer>::weight_row(r, s) + k;
    blocks = blocks_after<layer, eight>(r, s);
  }
  for (int c = 8 * lane; c < C; c += 8 * 32) {
    const float loss = expected_loss(addition_loss, eight, blocks, c);
    float w[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) w[i] = ldexpf(loss * weight[c + i], f - in->exponent[c + i]);
    write_weights<eight>(packed + row * split_row_bytes(C), C, c, w);
  }
}

// noise (n, 100) -> map (n) rows of 128 channels; overflowed (n) says which faces have noise that the map cannot hold;
// next_tile (layers) starts at 0. A thread per 4 values, 32 threads a face.
__global__ void split_noise(int n, const float* __restrict__ noise, char* __restrict__ map,
                            int* __restrict__ overflowed, int* __restrict__ next_tile) {
  const int index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index < net::kLayers) next_tile[index] = 0;
  const int face = index / 32, c = index % 32 * 4;
  if (face >= n) return;
  float4 x = make_float4(0, 0, 0, 0);
  if (c < net::kNoise) x = *reinterpret_cast<const float4*>(noise + size_t(face) * net::kNoise + c);
  constexpr float kFactor = 1 << kNoiseExponent;
  x = make_float4(x.x * kFactor, x.y * kFactor, x.z * kFactor, x.w * kFactor);
  const SplitPair a = split_pair(x.x, x.y), b = split_pair(x.z, x.w);
  union {
    __half2 half2[2];
    uint2 bits;
  } hi = {{a.hi, b.hi}}, lo = {{a.lo, b.lo}};
  char* row = map + face * split_row_bytes(kNoisePadded);
  *reinterpret_cast<uint2*>(row + hi_byte(false, c)) = hi.bits;
  *reinterpret_cast<uint2*>(row + lo16_byte(c)) = lo.bits;
  constexpr float most = largest_value(false);
  const bool fits = fabsf(x.x) <= most && fabsf(x.y) <= most && fabsf(x.z) <= most && fabsf(x.w) <= most;
  const bool all_fit = __all_sync(~0u, fits);
  if (c == 0) overflowed[face] = all_fit ? 0 : 1;
}

}  // namespace

#endif  // FACEGEN_KERNELS_SPLIT_FOLD_CUH_
