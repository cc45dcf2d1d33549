// The last layer in fp32, tconv4 + tanh: map (32, 32, 64, N) -> faces (n, 64, 64, 3).
#ifndef FACEGEN_KERNELS_FP32_IMAGE_CUH_
#define FACEGEN_KERNELS_FP32_IMAGE_CUH_

#include <cassert>
#include <cstddef>

#include "kernels/cuda_check.h"
#include "kernels/fp32/tile.cuh"
#include "network.h"

namespace {

constexpr int kImageThreads = 128;
constexpr int kImageBlocks = 2;  // 2x2 blocks of output pixels that a thread owns, side by side
constexpr int kImageTaps = net::kFilter * net::kFilter;
constexpr int kImagePlaces = net::kTconv4.H * net::kTconv4.W / kImageBlocks;  // 512 of them in a face
// Why not three everywhere: from sm_100 on, the compiler needs more registers than three blocks leave a thread.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kImageBlocksPerSm = 2;
#else
constexpr int kImageBlocksPerSm = 3;
#endif
constexpr int kImageGroup = 32;  // quads of faces whose places are numbered together

// ---- Kernel

// in (32, 32, 64, 4 * quads), weight (64, 25, 4), bias (3), faces (n, 64, 64, 3), or where index (n) says
//
// With three output channels a tile of faces x channels would be mostly empty. A thread owns 2 x 4 output pixels of one
// quad of faces instead, all four phases and both 2x2 blocks: 96 sums. For an input channel they take 12 quads of input
// (3 x 4 pixels) and every weight once: 600 multiply-adds for 12 + 25 16-byte reads.
//   - threads are numbered group by group of 32 quads, then place by place, then quad by quad: a warp reads 512 B in one
//     piece; the warps of a block have neighbouring places and find half of their pixels in L1
//   - all weights lie in shared memory, 64 * 25 * 16 = 25,600 B, and are read by the whole warp at once
//   - pixels off the map count as zeros (4 % of the work): no two warps part ways
//   - each pixel row of a thread and face is 4 * 3 floats: three 16-byte writes
__global__ void __launch_bounds__(kImageThreads, kImageBlocksPerSm)
    to_image_kernel(const float* __restrict__ in, const float4* __restrict__ weight, const float* __restrict__ bias,
                    float* __restrict__ faces, const int* __restrict__ index, int n, int quads) {
  constexpr int H = net::kTconv4.H, W = net::kTconv4.W, C = net::kTconv4.C, K = net::kTconv4.K;
  constexpr int kColumns = kImageBlocks + 2;  // of input pixels
  __shared__ float4 weights[C][kImageTaps];
  for (int i = threadIdx.x; i < C * kImageTaps; i += kImageThreads) weights[i / kImageTaps][i % kImageTaps] = weight[i];
  __syncthreads();

  const int number = blockIdx.x * kImageThreads + threadIdx.x;
  if (number >= kImagePlaces * quads) return;
  const int group = number / (kImagePlaces * kImageGroup);
  const int width = min(quads - group * kImageGroup, kImageGroup);  // the last group may be narrower
  const int rest = number - group * kImagePlaces * kImageGroup;
  const int place = rest / width, quad = group * kImageGroup + rest % width;
  const int h = place / (W / kImageBlocks), w = place % (W / kImageBlocks) * kImageBlocks;
  const bool inside_rows[3] = {h > 0, true, h < H - 1};
  const bool inside_columns[kColumns] = {w > 0, true, true, w < W - kImageBlocks};
  // Why bytes in 32 bits: one register a row of pixels for the whole loop over channels, on a base that all threads
  // share.
  const unsigned channel_bytes = sizeof(float4) * quads;
  const char* in_bytes = reinterpret_cast<const char*>(in);
  unsigned row_bytes[3];  // of input pixels (h - 1 .. h + 1, w - 1)
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    row_bytes[i] = ((h - 1 + i) * W + w - 1) * C * channel_bytes + sizeof(float4) * quad;
  }

  float sum[kImageBlocks][2][2][K][kQuad] = {};  // block, phase of the row, of the column, channel, face
#pragma unroll 1
  for (int c = 0; c < C; ++c, in_bytes += channel_bytes) {
#pragma unroll
    for (int dh = -1; dh <= 1; ++dh) {
      float x[kColumns][kQuad];  // of row h + dh
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        float4 four = make_float4(0.f, 0.f, 0.f, 0.f);
        if (inside_rows[dh + 1] && inside_columns[i]) {
          four = __ldg(reinterpret_cast<const float4*>(in_bytes + (row_bytes[dh + 1] + i * C * channel_bytes)));
        }
        x[i][0] = four.x;
        x[i][1] = four.y;
        x[i][2] = four.z;
        x[i][3] = four.w;
      }
#pragma unroll
      for (int phase_h = 0; phase_h < 2; ++phase_h) {
        const int r = filter_index(phase_h, dh);
        if (r < 0) continue;
#pragma unroll
        for (int s = 0; s < net::kFilter; ++s) {
          const int phase_w = (s + net::kCut) % net::kStride, dw = (net::kCut + phase_w - s) / net::kStride;
          const float4 tap = weights[c][r * net::kFilter + s];
          const float of_channel[K] = {tap.x, tap.y, tap.z};
#pragma unroll
          for (int block = 0; block < kImageBlocks; ++block) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
#pragma unroll
              for (int face = 0; face < kQuad; ++face) {
                float& to = sum[block][phase_h][phase_w][k][face];
                to = fmaf(of_channel[k], x[block + dw + 1][face], to);
              }
            }
          }
        }
      }
    }
  }

#pragma unroll
  for (int face = 0; face < kQuad; ++face) {
    const int row = kQuad * quad + face;
    if (row >= n) return;
    float* to = faces + std::size_t(index ? index[row] : row) * net::kFaceFloats;
#pragma unroll
    for (int phase_h = 0; phase_h < 2; ++phase_h) {
      float row[kImageBlocks * 2 * K];  // 4 pixels x 3 channels
#pragma unroll
      for (int i = 0; i < kImageBlocks * 2 * K; ++i) {
        row[i] = tanhf(sum[i / (2 * K)][phase_h][i / K % 2][i % K][face] + bias[i % K]);
      }
      float* row_to = to + ((net::kStride * h + phase_h) * net::kFaceW + net::kStride * w) * K;
#pragma unroll
      for (int i = 0; i < kImageBlocks * 2 * K; i += kQuad) {
        store4(row_to + i, make_float4(row[i], row[i + 1], row[i + 2], row[i + 3]));
      }
    }
  }
}

// ---- Launcher

// in (32, 32, 64, 4 * quads) -> faces (n, 64, 64, 3), or by index, quads = n in quads, rounded up
void to_image(int n, const float* in, const float* weight, const float* bias, float* faces, const int* index,
              cudaStream_t stream) {
  const int quads = (n + kQuad - 1) / kQuad;
  assert(n > 0 && net::kTconv4.H * net::kTconv4.W * net::kTconv4.C * sizeof(float4) * quads < (std::size_t(1) << 32));
  const int blocks = (kImagePlaces * quads + kImageThreads - 1) / kImageThreads;
  to_image_kernel<<<blocks, kImageThreads, 0, stream>>>(in, reinterpret_cast<const float4*>(weight), bias, faces, index,
                                                        n, quads);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

#endif  // FACEGEN_KERNELS_FP32_IMAGE_CUH_
