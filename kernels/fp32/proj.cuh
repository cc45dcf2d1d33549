// proj + batch normalisation + ReLU in fp32: noise (n, 100) -> map (4, 4, 512, N).
#ifndef FACEGEN_KERNELS_FP32_PROJ_CUH_
#define FACEGEN_KERNELS_FP32_PROJ_CUH_

#include <cassert>
#include <cstddef>

#include "kernels/cuda_check.h"
#include "kernels/fp32/tile.cuh"
#include "network.h"

namespace {

struct ProjTile : TileShape<128, 64, 8, 25, 1, 3> {};
constexpr int kProjOutputs = net::kProj.out_H * net::kProj.out_W * net::kProj.K;  // 8192
constexpr int kNoisePitch =
    ProjTile::kFaces + kQuad;  // 132: rows stay 16-byte aligned, and transposing spreads over banks
static_assert(net::kNoise % ProjTile::kDepth == 0, "noise must be a whole number of tiles deep");
static_assert(kProjOutputs % ProjTile::kChannels == 0, "outputs must be a whole number of tiles");

// ---- Kernel

// out[o][n] = max(scale[o] * (sum over c of noise[n][c] * weight[c][o]) + shift[o], 0)
// noise (n, 100), or as many rows as index (n) names where it is given; weight (100, 8192), scale, shift (8192),
// out (8192, 4 * quads)
//
// A block of 128 threads owns 128 faces x 64 outputs. Shared memory: noise 25 x 132 x 4 = 13,200 B, weights
// 25 x 64 x 4 = 6,400 B; four turns for the 100 noise values.
//   - noise has the faces outermost: it is read along c, coalesced, and stored transposed
//   - faces past n count as noise 0, so that whole quads can be written
// 0.6 % of the network's arithmetic: no double buffer, the other blocks of the multiprocessor hide the copies.
__global__ void __launch_bounds__(ProjTile::kThreads, ProjTile::kBlocksPerSm)
    proj_kernel(const float* __restrict__ noise, const int* __restrict__ index, const float* __restrict__ weight,
                const float* __restrict__ scale, const float* __restrict__ shift, float* __restrict__ out, int n,
                int quads) {
  using T = ProjTile;
  __shared__ __align__(16) float noise_tile[T::kDepth][kNoisePitch];
  __shared__ __align__(16) float weight_tile[T::kDepth][T::kChannels];
  const int n0 = blockIdx.y * T::kFaces, o0 = blockIdx.x * T::kChannels;
  const ThreadPlace<T> place;

  float sum[T::kThreadChannels][kThreadFaces] = {};
  for (int c0 = 0; c0 < net::kNoise; c0 += T::kDepth) {
    __syncthreads();
    for (int i = threadIdx.x; i < T::kFaces * T::kDepth; i += T::kThreads) {
      const int row = i / T::kDepth, c = i % T::kDepth;
      float value = 0;
      if (n0 + row < n) value = noise[std::size_t(index ? index[n0 + row] : n0 + row) * net::kNoise + c0 + c];
      noise_tile[c][row] = value;
    }
    for (int i = threadIdx.x; i < T::kDepth * T::kChannelQuads; i += T::kThreads) {
      const int c = i / T::kChannelQuads, quad = i % T::kChannelQuads;
      store4(&weight_tile[c][kQuad * quad], load4(weight + std::size_t(c0 + c) * kProjOutputs + o0 + kQuad * quad));
    }
    __syncthreads();
#pragma unroll 5
    for (int c = 0; c < T::kDepth; ++c) {
      float in[kThreadFaces], w[T::kThreadChannels];
      load_fragment<kThreadFaces, kFaceStep>(in, &noise_tile[c][place.face]);
      load_fragment<T::kThreadChannels, kChannelStep>(w, &weight_tile[c][place.channel]);
      multiply_add(sum, w, in);
    }
  }

  const std::size_t pitch = std::size_t(kQuad) * quads;
#pragma unroll
  for (int k = 0; k < T::kThreadChannels; ++k) {
    const int o = o0 + place.channel + k / kQuad * kChannelStep + k % kQuad;
#pragma unroll
    for (int i = 0; i < kThreadFaces / kQuad; ++i) {
      const int face = n0 + place.face + i * kFaceStep;
      if (face < kQuad * quads) {
        store4(out + o * pitch + face, scale_shift_relu(&sum[k][kQuad * i], scale[o], shift[o]));
      }
    }
  }
}

// ---- Launcher

// noise (n, 100), or by index -> out (4, 4, 512, 4 * quads), quads = n in quads, rounded up
void proj(int n, const float* noise, const int* index, const float* weight, const float* scale, const float* shift,
          float* out, cudaStream_t stream) {
  assert(n > 0);
  const int quads = (n + kQuad - 1) / kQuad;
  const dim3 grid(kProjOutputs / ProjTile::kChannels, (n + ProjTile::kFaces - 1) / ProjTile::kFaces);
  proj_kernel<<<grid, ProjTile::kThreads, 0, stream>>>(noise, index, weight, scale, shift, out, n, quads);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

#endif  // FACEGEN_KERNELS_FP32_PROJ_CUH_
