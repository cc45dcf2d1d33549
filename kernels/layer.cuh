// What a layer is made of, for every kind of kernels: which filter taps meet, and batch normalisation as one
// multiply-add.
#ifndef FACEGEN_KERNELS_LAYER_CUH_
#define FACEGEN_KERNELS_LAYER_CUH_

#include "network.h"

// Output pixel (2i + ph, 2j + pw) of phase (ph, pw) is a sum over the input pixels (i + dh, j + dw) that exist, each
// times filter tap (1 + ph - 2 dh, 1 + pw - 2 dw), with dh in -1..ph and dw in -1..pw: 9, 6, 6 and 4 taps.
//   phase 0: d = 0, -1 -> tap 1, 3        phase 1: d = 1, 0, -1 -> tap 0, 2, 4
__host__ __device__ constexpr int filter_index(int phase, int d) { return net::kCut + phase - net::kStride * d; }
__host__ __device__ constexpr int tap_phase(int tap) { return (tap + net::kCut) % net::kStride; }
__host__ __device__ constexpr int tap_shift(int tap) { return (net::kCut + tap_phase(tap) - tap) / net::kStride; }  // d

// scale * sum + shift = batch_norm(sum + bias) for a layer's plain sums; sum + bias in the last layer.
struct Norm {
  double scale, shift;
};

// Of channel k, with the bias of one of its outputs. network: the whole.
// Why double: shift is a difference of terms that may nearly cancel; so it has one rounding instead of five.
__device__ inline Norm fold_norm(const net::Layer& l, const float* network, int k, float bias) {
  if (!l.batch_norm) return {1.0, double(bias)};
  const double scale = network[l.gamma + k] / sqrt(double(network[l.var + k]) + double(net::kBatchNormEps));
  return {scale, network[l.beta + k] + scale * (double(bias) - double(network[l.mean + k]))};
}

#endif  // FACEGEN_KERNELS_LAYER_CUH_
