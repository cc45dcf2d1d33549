// tconv + batch normalisation + ReLU in fp32: map (H, W, C, N) -> map (2H, 2W, K, N).
#ifndef FACEGEN_KERNELS_FP32_TCONV_CUH_
#define FACEGEN_KERNELS_FP32_TCONV_CUH_

#include <cassert>
#include <cstddef>

#include "kernels/cuda_check.h"
#include "kernels/fp32/tile.cuh"
#include "network.h"

namespace {

using TconvTile = TileShape<128, 64, 8, 16, 3, 2>;  // 128 threads; 3 * 16 * (128 + 64) * 4 = 36,864 B of shared memory

// Sums are taken over this many input channels of one tap, and those sums then added up. bench/accuracy_gpu.cu takes
// another number, for the same sums in another order.
#ifndef FACEGEN_PARTIAL_CHANNELS
#define FACEGEN_PARTIAL_CHANNELS 128
#endif
constexpr int kPartialChannels = FACEGEN_PARTIAL_CHANNELS;

// The faces of a chunk go in groups of a tile's width; the last group may be narrower. Within a group, rows of a tile
// are numbered position by position: row = position * width + quad. A tile of a full group so has one position, and a
// tile of a narrow group (a small chunk, say) several, instead of rows without a face.
template <class T>
struct Rows {
  int first_quad, width, first;  // the group's first quad of faces, its quads; the tile's first row

  __device__ Rows(int tile, int quads, int positions) {
    const int full_groups = quads / T::kFaceQuads;
    const int group = min(tile / positions, full_groups);
    first_quad = group * T::kFaceQuads;
    width = min(quads - first_quad, T::kFaceQuads);
    first = (tile - group * positions) * T::kFaceQuads;
  }
  __device__ int position(int row) const { return (first + row) / width; }
  __device__ int quad(int row) const { return first_quad + (first + row) % width; }

  static int tiles(int quads, int positions) {
    const int full_groups = quads / T::kFaceQuads, rest = quads % T::kFaceQuads;
    return full_groups * positions + (rest * positions + T::kFaceQuads - 1) / T::kFaceQuads;
  }
};

// ---- Kernel

// in (H, W, C, 4 * quads), weight (25, C, K), scale, shift (K), out (2H, 2W, K, 4 * quads)
//
// A block owns, of one phase, a tile of 128 faces x 64 output channels, and adds up tap after tap, and within a tap 16
// input channels after another; each step is a product of two tiles in shared memory.
//   - blockIdx.z is the phase, the one of 9 taps first and the one of 4 last: the launch ends on light tiles
//   - tiles of one group of faces are neighbours in blockIdx.x, so that its input (16 MB at most) stays in L2 while each
//     pixel is read for up to 25 taps
//   - taps that fall off the border for the whole tile are left out; those that do for some rows read zeros, which
//     change no bit of a sum, so a face's bytes do not depend on the tile it comes in
//   - copy_async keeps two steps under way; one barrier a step
//   - 8 x 8 outputs a thread: 64 multiply-adds for four 16-byte reads of shared memory; the reads for row c + 1 are
//     issued before the multiply-adds of row c
//   - up to 4,608 terms a sum: added up in one go they would cost a digit of fp32, so partial sums have registers of
//     their own; adding those up is 0.8 % of the work
template <int layer, class T>
__global__ void __launch_bounds__(T::kThreads, T::kBlocksPerSm)
    tconv_kernel(const float* __restrict__ in, const float* __restrict__ weight, const float* __restrict__ scale,
                 const float* __restrict__ shift, float* __restrict__ out, int quads) {
  constexpr int H = net::kTable.layer[layer].H, W = net::kTable.layer[layer].W;
  constexpr int C = net::kTable.layer[layer].C, K = net::kTable.layer[layer].K;
  constexpr int kTilesAcross = K / T::kChannels;
  constexpr int kPartialSteps = kPartialChannels / T::kDepth;
  static_assert(C % kPartialChannels == 0 && kPartialChannels % T::kDepth == 0, "partial sums must fill the channels");
  static_assert(K % T::kChannels == 0 && C % T::kDepth == 0, "tiles must fill the channels");
  static_assert(T::kThreads % T::kFaceQuads == 0 && T::kDepth % T::kInputRows == 0, "copies must fill the input tile");
  static_assert(T::kThreads % T::kChannelQuads == 0 && T::kDepth % T::kWeightRows == 0,
                "copies must fill the weight tile");
  __shared__ __align__(16) float in_tile[T::kStages][T::kDepth][T::kFaces];
  __shared__ __align__(16) float weight_tile[T::kStages][T::kDepth][T::kChannels];

  const int phase_h = 1 - blockIdx.z / 2, phase_w = 1 - blockIdx.z % 2;
  const int k0 = blockIdx.x % kTilesAcross * T::kChannels;
  const Rows<T> rows(blockIdx.x / kTilesAcross, quads, H * W);
  const std::size_t pitch = std::size_t(kQuad) * quads;

  // Which taps hit the map from any of the tile's positions.
  const int first_position = rows.position(0), last_position = min(rows.position(T::kFaceQuads - 1), H * W - 1);
  const bool one_position = first_position == last_position;
  const int first_dh = last_position >= W ? -1 : 0;
  const int last_dh = phase_h == 1 && first_position / W < H - 1 ? 1 : 0;
  const int first_dw = one_position && first_position % W == 0 ? 0 : -1;
  const int last_dw = phase_w == 0 || (one_position && first_position % W == W - 1) ? 0 : 1;
  const int steps = (last_dh - first_dh + 1) * (last_dw - first_dw + 1) * (C / T::kDepth);

  // What this thread copies: a quad of faces in every kInputRows-th row, a quad of channels in every kWeightRows-th.
  const int in_column = threadIdx.x % T::kFaceQuads, in_row = threadIdx.x / T::kFaceQuads;
  const int weight_column = threadIdx.x % T::kChannelQuads, weight_row = threadIdx.x / T::kChannelQuads;
  const int position = rows.position(in_column);
  const int h = position < H * W ? position / W : -2;  // -2: no tap hits the map
  const int w = position % W;
  const float* in_quad = in + kQuad * rows.quad(in_column);
  const float* weight_quad = weight + k0 + kQuad * weight_column;

  // Copies the next step's tiles; taps and channels in the order of the sums.
  int dh = first_dh, dw = first_dw, c0 = 0;
  const auto copy_step = [&](int stage) {
    const bool inside = unsigned(h + dh) < unsigned(H) && unsigned(w + dw) < unsigned(W);
    const int in_channel = inside ? ((h + dh) * W + w + dw) * C + c0 + in_row : 0;
    const float* in_from = in_quad + in_channel * pitch;
#pragma unroll
    for (int i = 0; i < T::kDepth; i += T::kInputRows) {
      copy_async(shared_address(&in_tile[stage][in_row + i][kQuad * in_column]), in_from + i * pitch, inside);
    }
    const int tap = filter_index(phase_h, dh) * net::kFilter + filter_index(phase_w, dw);
    const float* weight_from = weight_quad + (tap * C + c0 + weight_row) * K;
#pragma unroll
    for (int i = 0; i < T::kDepth; i += T::kWeightRows) {
      copy_async(shared_address(&weight_tile[stage][weight_row + i][kQuad * weight_column]), weight_from + i * K, true);
    }
    c0 += T::kDepth;
    if (c0 < C) return;
    c0 = 0;
    if (++dw <= last_dw) return;
    dw = first_dw;
    ++dh;
  };

  // Fill the pipeline
  for (int stage = 0; stage < T::kStages - 1; ++stage) {
    if (stage < steps) copy_step(stage);
    end_copy_group();
  }
  wait_copy_groups<T::kStages - 2>();
  __syncthreads();

  // Sum
  const ThreadPlace<T> place;
  float sum[T::kThreadChannels][kThreadFaces] = {}, partial[T::kThreadChannels][kThreadFaces] = {};
  float in_row_values[2][kThreadFaces], weight_row_values[2][T::kThreadChannels];
  load_fragment<kThreadFaces, kFaceStep>(in_row_values[0], &in_tile[0][0][place.face]);
  load_fragment<T::kThreadChannels, kChannelStep>(weight_row_values[0], &weight_tile[0][0][place.channel]);
  int stage = 0, free_stage = T::kStages - 1;
  for (int step = 0; step < steps; ++step) {
#pragma unroll
    for (int c = 0; c < T::kDepth; ++c) {
      const bool last = c == T::kDepth - 1;
      if (last) {  // the next step's tiles have arrived, and nobody reads this step's any more
        wait_copy_groups<T::kStages - 2>();
        __syncthreads();
        free_stage = stage;
        stage = stage + 1 < T::kStages ? stage + 1 : 0;
      }
      const int next = last ? 0 : c + 1;
      load_fragment<kThreadFaces, kFaceStep>(in_row_values[(c + 1) % 2], &in_tile[stage][next][place.face]);
      load_fragment<T::kThreadChannels, kChannelStep>(weight_row_values[(c + 1) % 2],
                                                      &weight_tile[stage][next][place.channel]);
      if (c == 0) {
        if (step + T::kStages - 1 < steps) copy_step(free_stage);
        end_copy_group();
      }
      multiply_add(partial, weight_row_values[c % 2], in_row_values[c % 2]);
    }
    if ((step + 1) % kPartialSteps == 0) {
#pragma unroll
      for (int i = 0; i < T::kThreadChannels * kThreadFaces; ++i) {
        sum[i / kThreadFaces][i % kThreadFaces] += partial[i / kThreadFaces][i % kThreadFaces];
        partial[i / kThreadFaces][i % kThreadFaces] = 0.f;
      }
    }
  }

  // Batch normalisation + ReLU; each warp writes dense rows of 32 faces.
#pragma unroll
  for (int i = 0; i < kThreadFaces / kQuad; ++i) {
    const int row = place.face / kQuad + i * (kFaceStep / kQuad);
    const int out_position = rows.position(row);
    if (out_position >= H * W) continue;
    const int out_h = net::kStride * (out_position / W) + phase_h, out_w = net::kStride * (out_position % W) + phase_w;
    float* out_quad = out + std::size_t(out_h * net::kStride * W + out_w) * K * pitch + kQuad * rows.quad(row);
#pragma unroll
    for (int k = 0; k < T::kThreadChannels; ++k) {
      const int channel = k0 + place.channel + k / kQuad * kChannelStep + k % kQuad;
      store4(out_quad + channel * pitch, scale_shift_relu(&sum[k][kQuad * i], scale[channel], shift[channel]));
    }
  }
}

// ---- Launcher

// in (H, W, C, 4 * quads) -> out (2H, 2W, K, 4 * quads), quads = n in quads, rounded up
template <int layer, class T = TconvTile>
void tconv(int n, const float* in, const float* weight, const float* scale, const float* shift, float* out,
           cudaStream_t stream) {
  constexpr net::Layer l = net::kTable.layer[layer];
  assert(n > 0);
  const int quads = (n + kQuad - 1) / kQuad;
  const dim3 grid(Rows<T>::tiles(quads, l.H * l.W) * (l.K / T::kChannels), 1, net::kStride * net::kStride);
  tconv_kernel<layer, T><<<grid, T::kThreads, 0, stream>>>(in, weight, scale, shift, out, quads);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

#endif  // FACEGEN_KERNELS_FP32_TCONV_CUH_
