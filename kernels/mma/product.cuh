// proj and tconv1..3 on any tensor cores since sm_80: one kernel, a layer as matrix products of 128 faces x 128 columns.
#ifndef FACEGEN_KERNELS_MMA_PRODUCT_CUH_
#define FACEGEN_KERNELS_MMA_PRODUCT_CUH_

#include <cstddef>

#include "kernels/mma/mma.cuh"
#include "kernels/split/format.cuh"

namespace {

constexpr int kTileFaces = 128;
constexpr int kTileColumns = 128;
constexpr int kProductThreads = 256;  // 8 warps: 2 along faces x 4 along columns, 64 x 32 each
constexpr int kStages = 3;

struct ProductTask {
  const char* input;    // (H * W, n) rows of 4 C bytes
  const char* weights;  // (25 K or 8192) rows of 4 C bytes
  char* output;         // (out_H * out_W, n) rows of 4 K bytes
  const float2* fold;   // (columns) {scale, shift}
  volatile int* unfit;  // (n) set to 1 for a face with a value that fp16 cannot hold
  int n;
};

// An input pixel that a tile sees, and the weights that it is multiplied with.
struct Step {
  std::size_t input, weights;  // bytes to them in the task's arrays
};

// Shared memory: 3 stages of 32 KB = 98,304 bytes, and 144 for the steps: what every GPU since sm_80 gives a block.
struct ProductShared {
  union {
    struct {                                     // one piece, 32 channels, of the rows of
      char input[kTileFaces * kPieceBytes];      // 128 faces: 16 KB
      char weights[kTileColumns * kPieceBytes];  // 128 columns: 16 KB
    } stage[kStages];
    char out[kTileColumns / kPieceChannels]
            [kTileFaces * kPieceBytes];  // results on their way out, 32 columns each: 64 KB
  };
  Step step[9];  // at most 3 x 3 pixels
};
constexpr int kProductSharedBytes = sizeof(ProductShared);
static_assert(kProductSharedBytes <= 101376, "a block of sm_86, sm_89 and sm_120 has 99 KB of shared memory");

// Groups of 128 faces whose tiles are taken together: many where weights are most of what is read, few where the input
// map is (of a group: tconv1 4 MB, tconv2 8 MB, tconv3 17 MB), so that it stays in the L2 cache.
template <int layer>
constexpr int kGroupsTogether = layer <= 1   ? 8
                                : layer == 2 ? 4
                                             : 1;

// The tiles of 128 faces: an output pixel and 128 of its channels; or in tconv3, where it has 64, a pair of pixels, odd
// and even column.
template <int layer>
struct Tile {
  using P = Plan<layer>;
  static constexpr int kPixels = layer == 3 ? 2 : 1;
  static constexpr int kParts = P::kProj ? P::kPositions * P::kColumns / kTileColumns : P::K * kPixels / kTileColumns;
  static constexpr int kParities = P::kProj ? 1 : 4 / kPixels;  // odd-odd, odd-even, even-odd, even-even; or odd, even
  static constexpr int kCount = kParities * P::H * P::W * kParts;  // proj 64, tconv1 128, tconv2 256, tconv3 512

  int face;                 // first
  int part;                 // which 128 columns
  int i, j;                 // input pixel
  int odd_row, odd_column;  // of the output pixel; of a pair, the odd column

  // Tiles of 128 kGroupsTogether faces come together. Those with most work come first, so that the last ones are short.
  __host__ __device__ Tile(int n, int number) {
    constexpr int kTogether = kGroupsTogether<layer>;
    const int groups = (n + kTileFaces - 1) / kTileFaces;
    const int first = number / (kCount * kTogether) * kTogether, rest = number % (kCount * kTogether);
    const int together = groups - first < kTogether ? groups - first : kTogether;
    face = (first + rest % together) * kTileFaces;
    const int place = rest / together;
    part = place % kParts;
    j = place / kParts % P::W;
    i = place / kParts / P::W % P::H;
    const int parity = place / kParts / P::W / P::H;
    odd_row = parity < kParities / 2 ? 1 : 0;
    odd_column = kPixels == 2 || (kParities == 4 && parity % 2 == 0) ? 1 : 0;
  }

  // Input pixels at i + first_row() .. i + last_row(), j + first_column() .. j + last_column(); the pair's even column
  // does not see that at j + 1, which comes last, therefore.
  __host__ __device__ int first_row() const { return i > 0 ? -1 : 0; }
  __host__ __device__ int last_row() const { return odd_row && i + 1 < P::H ? 1 : 0; }
  __host__ __device__ int first_column() const { return j > 0 ? -1 : 0; }
  __host__ __device__ int last_column() const { return odd_column && j + 1 < P::W ? 1 : 0; }
  __host__ __device__ int steps() const {
    return (last_row() - first_row() + 1) * (last_column() - first_column() + 1);
  }
  __host__ __device__ int narrow_steps() const {  // those for the odd column alone
    return kPixels == 2 && last_column() == 1 ? last_row() - first_row() + 1 : 0;
  }

  __host__ __device__ void list_steps(int n, Step* step) const {
    for (int dj = first_column(); dj <= last_column(); ++dj) {
      for (int di = first_row(); di <= last_row(); ++di) {
        const int pixel = (i + di) * P::W + j + dj;
        const int tap_row = P::kProj ? 0 : P::weight_row(filter_index(odd_row, di), filter_index(odd_column, dj));
        step->input = std::size_t(pixel) * n * split_row_bytes(P::C);
        step->weights = (tap_row + part * kTileColumns) * split_row_bytes(P::C);
        ++step;
      }
    }
  }

  // Byte of the output map at which 32 columns' results of the tile's first face begin.
  __host__ __device__ std::size_t output_byte(int n, int column) const {
    int pixel, channel;
    if constexpr (P::kProj) {
      pixel = (part * kTileColumns + column) / P::K;
      channel = (part * kTileColumns + column) % P::K;
    } else {
      const int odd = kPixels == 1 ? odd_column : column < P::K ? 1 : 0;
      pixel = (2 * i + odd_row) * P::out_W + 2 * j + odd;
      channel = (part * kTileColumns + column) % P::K;
    }
    return (std::size_t(pixel) * n + face) * split_row_bytes(P::K) + hi_byte(false, channel);
  }
};

// Where 16 bytes of a row of 128 lie in shared memory: chunks are permuted by the row's last three bits, so that the
// same chunk of 8 neighbouring rows, which is what ldmatrix reads, lies in 8 different groups of four banks.
__host__ __device__ constexpr int swizzled(int row, int chunk) { return row * kPieceBytes + ((chunk ^ row % 8) << 4); }

#if FACEGEN_SM80

// Copies what one thread copies of every stage: a 16-byte chunk of every 32nd row of input and weights.
template <int layer>
struct Feeder {
  using P = Plan<layer>;
  static constexpr int kRows = kProductThreads / 8;
  static constexpr std::size_t kRowsBytes = kRows * split_row_bytes(P::C);

  const ProductShared& shared;
  const char *input, *weights;
  int faces, wide;  // faces from this thread's first row to the end; pieces of all 128 columns
  uint32_t to;

  __device__ Feeder(const ProductTask& task, const Tile<layer>& tile, const ProductShared& shared) : shared(shared) {
    const int row = threadIdx.x / 8, chunk = threadIdx.x % 8;
    input = task.input + (tile.face + row) * split_row_bytes(P::C) + 16 * chunk;
    weights = task.weights + row * split_row_bytes(P::C) + 16 * chunk;
    faces = task.n - tile.face - row;
    wide = (tile.steps() - tile.narrow_steps()) * P::kPieces;
    to = shared_address(&shared) + swizzled(row, chunk);
  }

  // Piece `index` of the tile into a stage.
  __device__ void feed(int index, int stage) const {
    const Step& step = shared.step[index / P::kPieces];
    const int piece = index % P::kPieces * kPieceBytes;
    const char* from = input + step.input + piece;
    const uint32_t at = to + stage * sizeof(shared.stage[0]);
#pragma unroll
    for (int i = 0; i < kTileFaces / kRows; ++i)
      copy_async(at + i * kRows * kPieceBytes, from + i * kRowsBytes, i * kRows < faces);
    from = weights + step.weights + piece;
#pragma unroll
    for (int i = 0; i < kTileColumns / kRows; ++i) {
      if (Tile<layer>::kPixels == 2 && i == kTileColumns / kRows / 2 && index >= wide) break;
      copy_async(at + kTileFaces * kPieceBytes + i * kRows * kPieceBytes, from + i * kRowsBytes, true);
    }
  }
};

template <int parts>
__device__ void multiply_stage(float (&sum)[4][4][4], uint32_t a, uint32_t b);
template <int layer>
__device__ void finish_tile(const float (&sum)[4][4][4], const ProductTask& task, const Tile<layer>& tile,
                            ProductShared& shared);

#endif  // FACEGEN_SM80

// Tile: 128 faces x 128 columns, see Tile; one block each. The input pixels that the tile sees are walked, and for each
// its channels, 32 at a time: a stage holds those of the 128 faces and of the weights, hi and lo. Two stages are on
// their way while a third is multiplied. A warp has 64 faces x twice 16 columns, 64 apart: so where only the first 64
// columns have weights, all warps have half the work. For 16 channels it reads 6 KB of shared memory for 48 products
// m16n8k16 (48 of at least 96 cycles).
// Why 128 registers: two blocks share a multiprocessor where its memory allows it (sm_90, sm_100), and one multiplies
// while the other starts or ends.
// The order of the sums is the tile's alone: a face's bits depend neither on its row in the tile nor on the grid.
// Grid: ceil(n / 128) x Tile<layer>::kCount blocks of 256 threads; kProductSharedBytes.
template <int layer>
__global__ void __launch_bounds__(kProductThreads, 2) product_kernel(const ProductTask task) {
#if FACEGEN_SM80
  using P = Plan<layer>;
  extern __shared__ __align__(1024) char memory[];
  ProductShared& shared = *reinterpret_cast<ProductShared*>(memory);
  const Tile<layer> tile(task.n, blockIdx.x);
  if (threadIdx.x == 0) tile.list_steps(task.n, shared.step);
  __syncthreads();

  const Feeder<layer> feeder(task, tile, shared);
  const int pieces = tile.steps() * P::kPieces, wide = feeder.wide;
#pragma unroll 1
  for (int s = 0; s < kStages - 1; ++s) {
    feeder.feed(s, s);  // proj, the shortest, has 4 pieces
    end_copy_group();
  }

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t a = shared_address(shared.stage[0].input) + swizzled(warp / 4 * 64 + lane % 16, lane / 16);
  const uint32_t b =
      shared_address(shared.stage[0].weights) + swizzled(warp % 4 * 16 + lane / 16 * 8 + lane % 8, lane / 8 % 2);
  float sum[4][4][4] = {};  // 16 faces, 8 columns, mma's layout
  int stage = 0, free = kStages - 1;
#pragma unroll 1
  for (int index = 0; index < pieces; ++index) {
    wait_copy_groups<kStages - 2>();
    __syncthreads();  // this stage is there for all, and the one before it has been read by all
    if (index + kStages - 1 < pieces) feeder.feed(index + kStages - 1, free);
    end_copy_group();  // empty ones, too: their number tells what has arrived
    const uint32_t offset = stage * sizeof(shared.stage[0]);
    if (Tile<layer>::kPixels == 1 || index < wide)
      multiply_stage<2>(sum, a + offset, b + offset);
    else
      multiply_stage<1>(sum, a + offset, b + offset);
    free = stage;
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
  __syncthreads();
  int number = blockIdx.x;
  asm volatile("" : "+r"(number));  // else the tile stays in registers all the time, and others are spilled
  finish_tile(sum, task, Tile<layer>(task.n, number), shared);
#endif
}

#if FACEGEN_SM80

// One stage: 32 channels of 64 faces x 16 columns of each 64, `parts` times, added to the warp's sums. Three products:
// lo hi' + hi lo' + hi hi'. A tensor core cuts sums off instead of rounding them, each kind of GPU in its own way: so
// it sums over 16 channels only, where that is harmless, and these sums are added up by ordinary additions, which cost
// next to nothing beside the products.
// a, b: this lane's addresses for ldmatrix; 32 bytes of a row are high terms 0..15, 16..31, low terms 0..15, 16..31
template <int parts>
__device__ inline void multiply_stage(float (&sum)[4][4][4], uint32_t a, uint32_t b) {
#pragma unroll 1
  for (int k = 0; k < 2; ++k) {
    uint32_t b_hi[parts][4], b_lo[parts][4];  // 16 columns: terms 0..7, 8..15 of the first 8, then of the others
#pragma unroll
    for (int part = 0; part < parts; ++part) {
      load_matrices(b_hi[part], (b ^ 32 * k) + part * 64 * kPieceBytes);
      load_matrices(b_lo[part], (b ^ (32 * k + 64)) + part * 64 * kPieceBytes);
    }
#pragma unroll
    for (int m = 0; m < 4; ++m) {  // 16 faces
      uint32_t a_hi[4], a_lo[4];
      load_matrices(a_hi, (a ^ 32 * k) + m * 16 * kPieceBytes);
      load_matrices(a_lo, (a ^ (32 * k + 64)) + m * 16 * kPieceBytes);
      float part_sum[2 * parts][4] = {};
#pragma unroll
      for (int c = 0; c < 2 * parts; ++c)
        multiply16(part_sum[c], a_lo, b_hi[c / 2][c % 2 * 2], b_hi[c / 2][c % 2 * 2 + 1]);
#pragma unroll
      for (int c = 0; c < 2 * parts; ++c)
        multiply16(part_sum[c], a_hi, b_lo[c / 2][c % 2 * 2], b_lo[c / 2][c % 2 * 2 + 1]);
#pragma unroll
      for (int c = 0; c < 2 * parts; ++c)
        multiply16(part_sum[c], a_hi, b_hi[c / 2][c % 2 * 2], b_hi[c / 2][c % 2 * 2 + 1]);
#pragma unroll
      for (int c = 0; c < 2 * parts; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[m][c][i] += part_sum[c][i];
      }
    }
  }
}

// Scale, shift, ReLU, split; through shared memory, where all stages have been read, to the output map in whole rows.
template <int layer>
__device__ inline void finish_tile(const float (&sum)[4][4][4], const ProductTask& task, const Tile<layer>& tile,
                                   ProductShared& shared) {
  using P = Plan<layer>;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first_row = warp / 4 * 64 + lane / 4, first_column = warp % 4 * 16 + lane % 4 * 2;
  const float2* fold = task.fold + tile.part * kTileColumns + first_column;
  float4 f[4];  // scale, shift of two columns
#pragma unroll
  for (int c = 0; c < 4; ++c) f[c] = __ldg(reinterpret_cast<const float4*>(fold + c / 2 * 64 + c % 2 * 8));
#pragma unroll
  for (int m = 0; m < 4; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + 16 * m + 8 * half;
      float top = 0;
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const float* s = &sum[m][c][2 * half];
        const float x = fmaxf(fmaf(s[0], f[c].x, f[c].y), 0.f), y = fmaxf(fmaf(s[1], f[c].z, f[c].w), 0.f);
        top = fmaxf(top, fmaxf(x, y));
        const SplitPair split = split_pair(x, y);
        const int column = first_column + c / 2 * 64 + c % 2 * 8, chunk = column % kPieceChannels / 8;
        char* out = shared.out[column / kPieceChannels] + column % 8 * 2;
        *reinterpret_cast<__half2*>(out + swizzled(row, chunk)) = split.hi;
        *reinterpret_cast<__half2*>(out + swizzled(row, chunk + 4)) = split.lo;
      }
      if (!(top <= largest_value(false)) && tile.face + row < task.n) task.unfit[tile.face + row] = 1;
    }
  }
  __syncthreads();
  const int chunk = threadIdx.x % 8;
#pragma unroll
  for (int q = 0; q < kTileColumns / kPieceChannels; ++q) {
    char* to = task.output + tile.output_byte(task.n, kPieceChannels * q) + 16 * chunk;
#pragma unroll
    for (int row = threadIdx.x / 8; row < kTileFaces; row += kProductThreads / 8) {
      if (tile.face + row >= task.n) break;
      *reinterpret_cast<uint4*>(to + row * split_row_bytes(P::K)) =
          *reinterpret_cast<const uint4*>(shared.out[q] + swizzled(row, chunk));
    }
  }
}

#endif  // FACEGEN_SM80

}  // namespace

#endif  // FACEGEN_KERNELS_MMA_PRODUCT_CUH_
