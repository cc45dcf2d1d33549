// What the fp32 kernels share: how a block's tile of faces x channels is split among threads.
//
// Feature maps of this path are (H, W, C, N): for each position and channel, the chunk's faces side by side, padded to
// whole quads of 4 faces (one 16-byte access). A layer is then, per output position, a plain matrix product: both
// operands have the summed dimension outermost, so that tiles go from global to shared memory as they are, without
// transposing.
#ifndef FACEGEN_KERNELS_FP32_TILE_CUH_
#define FACEGEN_KERNELS_FP32_TILE_CUH_

#include <cuda_runtime.h>

#include "kernels/layer.cuh"
#include "kernels/shared_memory.cuh"
#include "network.h"

namespace {

constexpr int kQuad = 4;         // faces (or channels) in one 16-byte access
constexpr int kThreadFaces = 8;  // faces of a thread, as two quads: 32 faces apart, so that a warp's accesses are dense

// A block computes faces x channels outputs; kDepth input channels at a time pass through shared memory, kStages of
// them under way at once. A thread has 8 faces x thread_channels outputs in registers; a warp has 8 x 4 threads.
template <int faces, int channels, int thread_channels, int depth, int stages, int blocks_per_sm>
struct TileShape {
  static constexpr int kFaces = faces, kChannels = channels, kThreadChannels = thread_channels;
  static constexpr int kDepth = depth, kStages = stages, kBlocksPerSm = blocks_per_sm;
  static constexpr int kWarpFaces = 8 * kThreadFaces;        // 64
  static constexpr int kWarpChannels = 4 * kThreadChannels;  // 32 or 64
  static constexpr int kThreads = 32 * (kFaces / kWarpFaces) * (kChannels / kWarpChannels);
  static constexpr int kFaceQuads = kFaces / kQuad, kChannelQuads = kChannels / kQuad;
  static constexpr int kInputRows = kThreads / kFaceQuads;  // rows of the input tile that all threads copy at a time
  static constexpr int kWeightRows = kThreads / kChannelQuads;  // the same of the weight tile
  static constexpr int kSharedBytes = kStages * kDepth * (kFaces + kChannels) * int(sizeof(float));

  static_assert(kFaces % kWarpFaces == 0 && kChannels % kWarpChannels == 0, "warps must fill the tile");
  static_assert(kSharedBytes <= 48 * 1024, "the stages must fit into static shared memory");
};

// Where a thread's outputs lie in its block's tile: faces face .. +3 and face + 32 .. +3; channels channel .. +3,
// channel + 16 .. +3, and so on. Why lanes zigzag: of every four neighbouring lanes, two pairs read the same faces and
// two the same channels, and only then are 16-byte reads of shared memory served for half a warp at a time.
template <class T>
struct ThreadPlace {
  int face, channel;

  __device__ ThreadPlace() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    constexpr int kWarpsAcross = T::kFaces / T::kWarpFaces;
    face = warp % kWarpsAcross * T::kWarpFaces + (lane / 2 % 8) * kQuad;
    channel = warp / kWarpsAcross * T::kWarpChannels + (lane % 2 + lane / 16 * 2) * kQuad;
  }
};
constexpr int kFaceStep = 32, kChannelStep = 16;  // from a thread's quad to its next

__device__ inline float4 load4(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ inline void store4(float* to, float4 value) { *reinterpret_cast<float4*>(to) = value; }

// `count` values of a tile's row, quads `step` apart -> registers.
template <int count, int step>
__device__ inline void load_fragment(float (&to)[count], const float* row) {
#pragma unroll
  for (int i = 0; i < count / kQuad; ++i) {
    const float4 quad = load4(row + i * step);
    to[kQuad * i] = quad.x;
    to[kQuad * i + 1] = quad.y;
    to[kQuad * i + 2] = quad.z;
    to[kQuad * i + 3] = quad.w;
  }
}

// sum (channels, faces) += weight (channels) x in (faces)
template <int channels>
__device__ inline void multiply_add(float (&sum)[channels][kThreadFaces], const float (&weight)[channels],
                                    const float (&in)[kThreadFaces]) {
#pragma unroll
  for (int k = 0; k < channels; ++k) {
#pragma unroll
    for (int n = 0; n < kThreadFaces; ++n) sum[k][n] = fmaf(weight[k], in[n], sum[k][n]);
  }
}

// Batch normalisation + ReLU of four faces of one channel: max(scale * sum + shift, 0)
__device__ inline float4 scale_shift_relu(const float* sum, float scale, float shift) {
  return make_float4(fmaxf(fmaf(scale, sum[0], shift), 0.f), fmaxf(fmaf(scale, sum[1], shift), 0.f),
                     fmaxf(fmaf(scale, sum[2], shift), 0.f), fmaxf(fmaf(scale, sum[3], shift), 0.f));
}

}  // namespace

#endif  // FACEGEN_KERNELS_FP32_TILE_CUH_
