// tconv4 + tanh on any tensor cores since sm_80: (32, 32, n, 64) as two terms -> faces (n, 64, 64, 3) in fp32.
#ifndef FACEGEN_KERNELS_MMA_IMAGE_CUH_
#define FACEGEN_KERNELS_MMA_IMAGE_CUH_

#include <cstddef>

#include "kernels/mma/mma.cuh"
#include "kernels/split/format.cuh"

namespace {

constexpr int kStripRows = 4;  // input rows of a block; a warp each
constexpr int kImageThreads = 32 * kStripRows;
constexpr int kStrips = net::kTconv4.H / kStripRows;  // 8 in a face
constexpr int kPackedRows = 80;                       // of weights: 25 taps x 3 channels, and zeros

struct ImageTask {
  const char* input;    // (32 * 32, n) rows of 256 bytes
  const char* weights;  // (80) rows of 256 bytes: 3 (5 r + s) + channel; the last five are zeros
  const float2* fold;   // (3) {scale, shift}
  float* faces;         // (any number, 64, 64, 3)
  const int* index;     // (n) where in faces they lie, or nullptr
  int n;
};

// Shared memory: input 6 x 34 x 256 = 52,224 bytes, weights 80 x 256 = 20,480: 72,704 in all.
struct ImageShared {
  static constexpr int kWidth = net::kTconv4.W + 2, kRows = (kStripRows + 2) * kWidth;  // pixels, with a border
  static constexpr int kBytes = split_row_bytes(net::kTconv4.C);                        // a pixel, or a row of weights
  char input[kRows * kBytes];
  char weights[kPackedRows * kBytes];
};
constexpr int kImageSharedBytes = sizeof(ImageShared);

// Where 16 bytes (chunk 0..15) of a row of 256 lie in shared memory; see swizzled() of mma/product.cuh.
__host__ __device__ constexpr int image_swizzled(int row, int chunk) {
  return row * ImageShared::kBytes + ((chunk ^ row % 8) << 4);
}

// The row of packed weights for column n of the product (output row, column, channel of a 2x2 block) and the input
// pixel at (di, dj); where that does not reach this output, or n is padding, a row of zeros.
__host__ __device__ constexpr int image_weight_row(int n, int di, int dj) {
  const int r = filter_index(n / 6, di), s = filter_index(n / 3 % 2, dj);
  const bool there = n < 12 && r >= 0 && r < net::kFilter && s >= 0 && s < net::kFilter;
  return there ? (r * net::kFilter + s) * net::kTconv4.K + n % 3 : kPackedRows - 1;
}

// A block computes 4 input rows, 8 output rows, of one face: each warp the 32 pixels of one row as a matrix product
// with 12 columns, the 2x2 output block of a pixel in 3 channels, padded to 16, over the 9 pixels around it. 25 of its
// 36 (pixel, output) pairs have weights, the others meet zeros: twice the products that were needed, but this layer
// stays small (a twentieth of the time), and every output value is a plain sum in registers.
// Input: with the rows above and below, and a border of zeros, once into shared memory; the blocks that share the
// multiprocessor multiply meanwhile.
// Grid: 8 n blocks of 128 threads; kImageSharedBytes.
__global__ void __launch_bounds__(kImageThreads, 3) image_kernel(const ImageTask task) {
#if FACEGEN_SM80
  constexpr net::Layer l = net::kTconv4;
  constexpr int kChunks = ImageShared::kBytes / 16;
  extern __shared__ __align__(1024) char memory[];
  ImageShared& shared = *reinterpret_cast<ImageShared*>(memory);
  const int face = blockIdx.x / kStrips, h0 = blockIdx.x % kStrips * kStripRows;

  const uint32_t input = shared_address(shared.input), weights = shared_address(shared.weights);
  const int chunk = threadIdx.x % kChunks;
  for (int row = threadIdx.x / kChunks; row < ImageShared::kRows; row += kImageThreads / kChunks) {
    const int h = h0 - 1 + row / ImageShared::kWidth, w = row % ImageShared::kWidth - 1;
    const bool inside = h >= 0 && h < l.H && w >= 0 && w < l.W;
    const std::size_t from = inside ? (std::size_t(h * l.W + w) * task.n + face) * ImageShared::kBytes + 16 * chunk : 0;
    copy_async(input + image_swizzled(row, chunk), task.input + from, inside);
  }
  for (int row = threadIdx.x / kChunks; row < kPackedRows; row += kImageThreads / kChunks)
    copy_async(weights + image_swizzled(row, chunk), task.weights + row * ImageShared::kBytes + 16 * chunk, true);
  end_copy_group();
  wait_copy_groups<0>();
  __syncthreads();

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float sum[2][2][4] = {};  // 16 pixels, 8 columns, mma's layout
#pragma unroll 1
  for (int di = -1; di <= 1; ++di) {
#pragma unroll 1
    for (int dj = -1; dj <= 1; ++dj) {
      const int pixel = (1 + warp + di) * ImageShared::kWidth + 1 + dj + lane % 16;
      const int weight_row = image_weight_row(lane / 16 * 8 + lane % 8, di, dj);
#pragma unroll
      for (int k = 0; k < l.C / 16; ++k) {
        const int hi = k / 2 * 8 + k % 2 * 2, lo = hi + 4;  // first chunk of 16 channels
        uint32_t b_hi[4], b_lo[4];
        load_matrices(b_hi, weights + image_swizzled(weight_row, hi + lane / 8 % 2));
        load_matrices(b_lo, weights + image_swizzled(weight_row, lo + lane / 8 % 2));
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          uint32_t a_hi[4], a_lo[4];
          load_matrices(a_hi, input + image_swizzled(pixel + 16 * m, hi + lane / 16));
          load_matrices(a_lo, input + image_swizzled(pixel + 16 * m, lo + lane / 16));
          float part[2][4] = {};  // see multiply_stage of mma/product.cuh
#pragma unroll
          for (int c = 0; c < 2; ++c) multiply16(part[c], a_lo, b_hi[2 * c], b_hi[2 * c + 1]);
#pragma unroll
          for (int c = 0; c < 2; ++c) multiply16(part[c], a_hi, b_lo[2 * c], b_lo[2 * c + 1]);
#pragma unroll
          for (int c = 0; c < 2; ++c) multiply16(part[c], a_hi, b_hi[2 * c], b_hi[2 * c + 1]);
#pragma unroll
          for (int c = 0; c < 2; ++c) {
#pragma unroll
            for (int i = 0; i < 4; ++i) sum[m][c][i] += part[c][i];
          }
        }
      }
    }
  }

  // Two neighbouring columns lie side by side in the face, too.
  float* out = task.faces + std::size_t(task.index ? task.index[face] : face) * net::kFaceFloats +
               2 * (h0 + warp) * l.out_W * l.K;
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    const int n = 8 * c + 2 * (lane % 4);
    if (n >= 12) break;
    const float2 f0 = task.fold[n % l.K], f1 = task.fold[(n + 1) % l.K];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int w = 16 * m + 8 * half + lane / 4;
        const float* s = &sum[m][c][2 * half];
        *reinterpret_cast<float2*>(out + n / 6 * l.out_W * l.K + 6 * w + n % 6) =
            make_float2(tanhf(fmaf(s[0], f0.x, f0.y)), tanhf(fmaf(s[1], f1.x, f1.y)));
      }
    }
  }
#endif
}

}  // namespace

#endif  // FACEGEN_KERNELS_MMA_IMAGE_CUH_
