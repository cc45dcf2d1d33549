// Once a network: the parameters of one layer, folded and reordered for the fp32 kernels.
#ifndef FACEGEN_KERNELS_FP32_PACK_CUH_
#define FACEGEN_KERNELS_FP32_PACK_CUH_

#include <cuda_runtime.h>

#include <cassert>
#include <cstddef>

#include "kernels/cuda_check.h"
#include "kernels/layer.cuh"
#include "network.h"

namespace {

// ---- Kernels

// Bias and batch normalisation of output o, of channel o % K, as one multiply-add, see fold_norm.
// network: the whole; scale, shift (outputs)
__global__ void fold_kernel(const float* __restrict__ network, net::Layer l, int outputs, float* __restrict__ scale,
                            float* __restrict__ shift) {
  const int o = blockIdx.x * blockDim.x + threadIdx.x;
  if (o >= outputs) return;
  const Norm norm = fold_norm(l, network, o % l.K, network[l.bias + o]);
  scale[o] = float(norm.scale);
  shift[o] = float(norm.shift);
}

constexpr int kTransposeTile = 32, kTransposeRows = 8;

// For each filter tap, a transposed matrix: weight (25, K, C) -> packed (25, C, K), so that a row of packed is what the
// output channels multiply one input channel with. A block moves a tile of 32 x 32 with 32 x 8 threads, through shared
// memory so that reads and writes are both coalesced; rows of 33 keep its columns in different banks: 32*33*4 = 4,224 B.
__global__ void transpose_kernel(const float* __restrict__ weight, float* __restrict__ packed, int K, int C) {
  __shared__ float tile[kTransposeTile][kTransposeTile + 1];
  const std::size_t tap = std::size_t(blockIdx.z) * K * C;
  const int c0 = blockIdx.x * kTransposeTile, k0 = blockIdx.y * kTransposeTile;
  for (int k = threadIdx.y; k < kTransposeTile; k += kTransposeRows) {
    tile[k][threadIdx.x] = weight[tap + std::size_t(k0 + k) * C + c0 + threadIdx.x];
  }
  __syncthreads();
  for (int c = threadIdx.y; c < kTransposeTile; c += kTransposeRows) {
    packed[tap + std::size_t(c0 + c) * K + k0 + threadIdx.x] = tile[threadIdx.x][c];
  }
}

// weight (25, 3, C) -> packed (C, 25, 4): a tap's three output channels in one 16-byte access; the fourth value is 0.
__global__ void pack_image_kernel(const float* __restrict__ weight, float4* __restrict__ packed, int C) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  constexpr int kTaps = net::kFilter * net::kFilter;
  if (i >= C * kTaps) return;
  const int c = i / kTaps, tap = i % kTaps;
  const float* from = weight + std::size_t(tap) * net::kFaceC * C + c;
  packed[i] = make_float4(from[0], from[C], from[2 * C], 0.f);
}

// ---- Launchers

// scale, shift: one for each of the layer's outputs that has a bias of its own (proj: 8192, tconv: K)
void fold(const net::Layer& l, int outputs, const float* network, float* scale, float* shift, cudaStream_t stream) {
  constexpr int kThreads = 128;
  fold_kernel<<<(outputs + kThreads - 1) / kThreads, kThreads, 0, stream>>>(network, l, outputs, scale, shift);
  CUDA_CHECK(cudaGetLastError());
}

// network -> packed (25, C, K)
void pack_tconv(const net::Layer& l, const float* network, float* packed, cudaStream_t stream) {
  assert(l.C % kTransposeTile == 0 && l.K % kTransposeTile == 0);
  const dim3 grid(l.C / kTransposeTile, l.K / kTransposeTile, net::kFilter * net::kFilter);
  transpose_kernel<<<grid, dim3(kTransposeTile, kTransposeRows), 0, stream>>>(network + l.weight, packed, l.K, l.C);
  CUDA_CHECK(cudaGetLastError());
}

// network -> packed (C, 25, 4)
void pack_image(const net::Layer& l, const float* network, float* packed, cudaStream_t stream) {
  assert(l.K == net::kFaceC);
  constexpr int kThreads = 128;
  const int count = l.C * net::kFilter * net::kFilter;
  pack_image_kernel<<<(count + kThreads - 1) / kThreads, kThreads, 0, stream>>>(network + l.weight,
                                                                                reinterpret_cast<float4*>(packed), l.C);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

#endif  // FACEGEN_KERNELS_FP32_PACK_CUH_
