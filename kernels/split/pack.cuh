// Takes a network in: folds bias and batch normalisation into one scale and shift per column, chooses the powers of
// two, writes the weights in the split format, in the order of Plan, and says whether the network is fit for it.
//
// fp16 ends at 65,504 and at 2^-24, so operands are kept times powers of two:
//   map     channel c: x 2^e_c, such that a typical value lies near 2^target_exponent. What is typical follows from the
//           weights and the batch normalisation alone: mean and mean square of every channel are carried from layer to
//           layer, for noise of mean 0 and a given rms and independent terms. With 8-bit corrections it is the mean of
//           positive values, and map_offset is taken away.
//   weight  of output channel k: w 2^(f_k - e_c), the largest of the channel in [2^13, 2^14)
//   sum     comes out times 2^f_k; scale and shift take that away and put the next map's 2^e_k on, and shift puts back
//           what the input map's offset took from the sum.
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
  float mean, square;  // of max(x, 0) and its square
  float above, size;   // P(x > 0); root mean square of x
};

// For x normal with that mean and deviation.
__device__ inline Moments relu_moments(float mean, float deviation) {
  const float size = sqrtf(mean * mean + deviation * deviation);
  if (!(deviation > 0)) return {fmaxf(mean, 0.f), fmaxf(mean, 0.f) * fmaxf(mean, 0.f), mean > 0 ? 1.f : 0.f, size};
  const float a = mean / deviation;
  const float above = 0.5f * erfcf(-a * 0.70710678f);
  const float density = 0.39894228f * expf(-0.5f * a * a);
  return {fmaxf(mean * above + deviation * density, 0.f),
          fmaxf((mean * mean + deviation * deviation) * above + mean * deviation * density, 0.f), above, size};
}

// Of a channel, over its positions or phases: the mean, but the largest size.
struct Typical {
  Moments moments = {0, 0, 0, 0};
  float error = 0;  // variance of the error

  __device__ void add(const Moments& m, float error_of_it, float share) {
    moments.mean += share * m.mean;
    moments.square += share * m.square;
    moments.above += share * m.above;
    moments.size = fmaxf(moments.size, m.size);
    error += share * error_of_it;
  }
};

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

// The exponent of a channel: its typical value comes to lie from 2^target_exponent to twice that. With 8-bit corrections
// that is the mean of its positive values, but where they are rare: a face that has them would be taken for unlike what
// is expected.
__device__ inline int map_exponent(const Moments& m, bool eight, volatile int* unfit) {
  const float typical = eight ? fmaxf(m.mean / fmaxf(m.above, 1e-6f), m.size / 2) : m.size;
  return exponent_towards(target_exponent(eight), typical, unfit);
}

// Writes 8 neighbouring channels c .. c + 7 of one row of C weights. Returns in `seen` what values near a typical one are
// multiplied with.
template <bool eight>
__device__ inline void write_weights(char* row, int C, int c, const float (&w)[8], float (&seen)[8]) {
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
      seen[2 * i] = __low2float(s.hi) + from_e4m3(e.lo) / power_of_two(kWeightLo8Exponent);
      seen[2 * i + 1] = __high2float(s.hi) + from_e4m3(e.lo >> 8) / power_of_two(kWeightLo8Exponent);
    }
  }
  *reinterpret_cast<uint4*>(row + hi_byte(eight, c)) = hi.bits;
  if (!eight) *reinterpret_cast<uint4*>(row + lo16_byte(c)) = lo.bits;
}

// scale and shift of a column whose sums come out times 2^f and less `missing`, and whose map is kept times 2^e and less
// `offset`.
__device__ inline float2 fold_column(const Norm& norm, int e, int f, double missing, float offset,
                                     volatile int* unfit) {
  const double scale = ldexp(norm.scale, e - f);
  const float2 fold = make_float2(float(scale), float(scale * missing + ldexp(norm.shift, e) - offset));
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
  const float error = precision.error16 * deviation;

  // Over the positions, in a fixed order.
  __shared__ Moments moments[kPositions][kPackProjChannels];
  __shared__ float errors[kPositions][kPackProjChannels];
  __shared__ int exponent[kPackProjChannels];
  moments[position][channel] = relu_moments(mean, deviation);
  errors[position][channel] = error * error * moments[position][channel].above;
  __syncthreads();
  if (position == 0) {
    Typical map;
    for (int p = 0; p < kPositions; ++p) map.add(moments[p][channel], errors[p][channel], 1.f / kPositions);
    out->mean[k] = map.moments.mean;
    out->square[k] = map.moments.square;
    out->error[k] = map.error;
    out->exponent[k] = exponent[channel] = map_exponent(map.moments, eight, unfit);
  }
  __syncthreads();
  const int f = exponent_towards(kWeightExponent, ldexpf(largest, -kNoiseExponent), unfit);
  fold[column] = fold_column(norm, exponent[channel], f, 0, map_offset(eight), unfit);

  char* row = packed + column * split_row_bytes(kNoisePadded);
  for (int c = 0; c < kNoisePadded; c += 8) {
    const float factor = loss_factor(precision.loss, false, Plan<0>::kPieces, c);
    float w[8], seen[8];
#pragma unroll
    for (int i = 0; i < 8; ++i)
      w[i] = c + i < l.C ? ldexpf(factor * weight[(c + i) * kColumns], f - kNoiseExponent) : 0.f;
    write_weights<false>(row, kNoisePadded, c, w, seen);
  }
}

constexpr int kPackWarps = net::kFilter * net::kFilter;  // a warp per filter tap

// Writes an output channel's scale and shift, kFolds x phases of them, K apart. missing_of: (taps), see fold_column.
template <int layer, bool eight>
__device__ inline void fold_layer(const Norm& norm, int e, int f, const float* missing_of, float offset, float2* fold,
                                  volatile int* unfit) {
  if constexpr (layer == 4) {
    if (threadIdx.x == 0) fold[0] = fold_column(norm, e, f, 0, offset, unfit);
  } else {
    using P = Plan<layer, eight>;
    constexpr int kPhases = P::kRowPhases * P::kColumnPhases;
    for (int i = threadIdx.x; i < P::kFolds * kPhases; i += blockDim.x) {
      const int border = i / kPhases % 9, parity = i / kPhases / 9;
      const int odd_row = P::kRowPhases == 2 ? i % kPhases < 2 : P::kColumnPhases == 2 ? parity : parity / 2;
      const int odd_column = P::kColumnPhases == 2 ? i % 2 == 0 : parity % 2;
      const auto exists = [](int tap, int odd, int place) {  // place: first, between, last
        const int d = tap_shift(tap);
        return tap_phase(tap) == odd && !(d < 0 && place == 0) && !(d > 0 && place == 2);
      };
      double missing = 0;
      for (int tap = 0; eight && tap < kPackWarps; ++tap)
        if (exists(tap / net::kFilter, odd_row, border / 3) && exists(tap % net::kFilter, odd_column, border % 3))
          missing += missing_of[tap];
      fold[i * P::K] = fold_column(norm, e, f, missing, offset, unfit);
    }
  }
}

// tconv: network -> packed (25 K) rows of C channels, fold (folds, phases x K) {scale, shift}, out (nullptr: last layer), and
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

  __shared__ float4 of_tap[kPackWarps];     // mean, variance, error, largest
  __shared__ float missing_of[kPackWarps];  // what the input map's offset takes from a tap's share of the sum
  __shared__ int e, f;
  const Norm norm = fold_norm(l, network, k, network[l.bias + k]);
  if (lane == 0) of_tap[tap] = make_float4(mean, variance, error, largest);
  __syncthreads();
  if (threadIdx.x == 0) {
    const float scale = float(norm.scale);
    float top = 0, all_variance = 0;
    for (const float4& t : of_tap) {
      top = fmaxf(top, t.w);
      all_variance += t.y;
    }
    require(all_variance == 0 || in_range(all_variance), unfit);
    f = exponent_towards(kWeightExponent, top, unfit);
    Typical map;
    for (int phase = 0; phase < 4; ++phase) {  // the sum over a phase's taps, away from the border
      float4 sum = make_float4(0, 0, 0, 0);
      for (int t = 0; t < kPackWarps; ++t) {
        if (tap_phase(t / net::kFilter) != phase / 2 || tap_phase(t % net::kFilter) != phase % 2) continue;
        sum = make_float4(sum.x + of_tap[t].x, sum.y + of_tap[t].y, sum.z + of_tap[t].z, 0);
      }
      const float x = scale * sum.x + float(norm.shift), deviation = fabsf(scale) * sqrtf(sum.y);
      Moments m = relu_moments(x, deviation);
      if (!l.batch_norm) m.above = 1;  // no ReLU follows
      map.add(m, scale * scale * sum.z * m.above, 0.25f);
    }
    e = 0;
    if (out != nullptr) {
      e = map_exponent(map.moments, out_eight, unfit);
      out->mean[k] = map.moments.mean;
      out->square[k] = map.moments.square;
      out->error[k] = map.error;
      out->exponent[k] = e;
    } else {
      require(map.error <= kMostError * kMostError, unfit);
    }
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
  float missing = 0;
  for (int c = 8 * lane; c < C; c += 8 * 32) {
    const float factor = loss_factor(precision.loss, eight, pieces, c);
    float w[8], seen[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) w[i] = ldexpf(factor * weight[c + i], f - in->exponent[c + i]);
    write_weights<eight>(packed + row * split_row_bytes(C), C, c, w, seen);
#pragma unroll
    for (int i = 0; eight && i < 8; ++i) {  // and what rounding of weights adds to the sum in the mean
      const float kept_mean = ldexpf(in->mean[c + i], in->exponent[c + i]) - map_offset(eight);
      missing += map_offset(eight) / factor * w[i] - kept_mean * (seen[i] - w[i]);
    }
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) missing += __shfl_xor_sync(~0u, missing, step);
  if (lane == 0) missing_of[tap] = missing;
  __syncthreads();
  fold_layer<layer, eight>(norm, e, f, missing_of, map_offset(out_eight), fold + k, unfit);
}

}  // namespace

#endif  // FACEGEN_KERNELS_SPLIT_PACK_CUH_
