// Computes single faces again in plain fp32: those with a value that the split operands could not hold.
//
// Launched after every chunk, without asking the host: a block whose faces are all sound ends at once. Slow (a face at
// a time, weights straight from global memory), and meant to be needed by next to no network.
#ifndef FACEGEN_KERNELS_SPLIT_REDO_CUH_
#define FACEGEN_KERNELS_SPLIT_REDO_CUH_

#include <cstddef>

#include "network.h"

constexpr std::size_t kRedoFloats = 16 * 512 + 64 * 256 + 256 * 128 + 1024 * 64;  // all maps of a face: 122,880

namespace {

// Layer `layer` of one face: in (H, W, C) -> out (out_H, out_W, K), by one block.
template <int layer>
__device__ void redo_layer(const float* __restrict__ network, const float* in, float* out) {
  constexpr net::Layer l = net::kTable.layer[layer];
  constexpr bool proj = layer == 0;
  for (int index = threadIdx.x; index < l.out_H * l.out_W * l.K; index += blockDim.x) {
    const int k = index % l.K, ow = index / l.K % l.out_W, oh = index / (l.K * l.out_W);
    float sum = 0;
    if (proj) {
      for (int c = 0; c < l.C; ++c) sum = fmaf(in[c], network[l.weight + c * l.out_H * l.out_W * l.K + index], sum);
      sum += network[l.bias + index];
    } else {
      // input h reaches output row 2 h + r - 1 through filter row r
      for (int r = (oh + net::kCut) % net::kStride; r < net::kFilter; r += net::kStride) {
        const int h = (oh + net::kCut - r) / net::kStride;
        if (oh + net::kCut < r || h >= l.H) continue;
        for (int s = (ow + net::kCut) % net::kStride; s < net::kFilter; s += net::kStride) {
          const int w = (ow + net::kCut - s) / net::kStride;
          if (ow + net::kCut < s || w >= l.W) continue;
          const float* x = in + (h * l.W + w) * l.C;
          const float* weight = network + l.weight + (std::size_t(r * net::kFilter + s) * l.K + k) * l.C;
          for (int c = 0; c < l.C; ++c) sum = fmaf(x[c], weight[c], sum);
        }
      }
      sum += network[l.bias + k];
    }
    if (l.batch_norm) {
      const float scale = network[l.gamma + k] / sqrtf(network[l.var + k] + net::kBatchNormEps);
      sum = fmaf(scale, sum, network[l.beta + k] - scale * network[l.mean + k]);
      out[index] = fmaxf(sum, 0.f);
    } else {
      out[index] = tanhf(sum);
    }
  }
  __syncthreads();
}

// noise (n, 100), network as in the file -> faces (n, 64, 64, 3), for the faces marked in overflowed (n), or all where
// *unsafe. scratch: kRedoFloats a face, kept apart by stride floats.
__global__ void __launch_bounds__(512)
    redo_kernel(int n, const float* __restrict__ noise, const float* __restrict__ network,
                const int* __restrict__ overflowed, const int* __restrict__ unsafe, float* scratch, std::size_t stride,
                float* faces) {
  for (int face = blockIdx.x; face < n; face += gridDim.x) {
    if (!overflowed[face] && !*unsafe) continue;
    float* map0 = scratch + face * stride;  // (4, 4, 512)
    float* map1 = map0 + 16 * 512;          // (8, 8, 256)
    float* map2 = map1 + 64 * 256;          // (16, 16, 128)
    float* map3 = map2 + 256 * 128;         // (32, 32, 64)
    redo_layer<0>(network, noise + std::size_t(face) * net::kNoise, map0);
    redo_layer<1>(network, map0, map1);
    redo_layer<2>(network, map1, map2);
    redo_layer<3>(network, map2, map3);
    redo_layer<4>(network, map3, faces + std::size_t(face) * net::kFaceFloats);
  }
}

}  // namespace

#endif  // FACEGEN_KERNELS_SPLIT_REDO_CUH_
