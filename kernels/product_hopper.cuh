// proj and tconv1..3 on Hopper's tensor cores: one kernel, a layer as matrix products of 128 faces x 256 columns.
#ifndef FACEGEN_KERNELS_PRODUCT_HOPPER_CUH_
#define FACEGEN_KERNELS_PRODUCT_HOPPER_CUH_

#include "kernels/hopper.cuh"
#include "kernels/split_format.cuh"

constexpr int kTileFaces = 128;
constexpr int kProductThreads = 384;  // warpgroups 0 and 1 multiply 64 faces each; warpgroup 2 feeds them

struct ProductTask {
  CUtensorMap input;    // (H * W, n) rows of 4 C bytes, boxes (1, 64) of 128 bytes
  CUtensorMap weights;  // (25 K or 8192) rows of 4 C bytes, boxes (64) of 128 bytes
  CUtensorMap output;   // (out_H * out_W, n) rows of 4 K bytes, boxes (1, 64) of 128 bytes
  const float2* fold;   // (columns) {scale, shift}
  int* overflowed;      // (n) set to 1 for a face with a value that fp16 cannot hold
  int* next_tile;       // the first tile that nobody has taken, less gridDim.x
  int n;
  unsigned short order[256];  // the plan's positions, those with most work first
};

constexpr int kStages = 4;

// Shared memory: 4 x 48 KB ring + 32 KB for results on their way out = 229,376 bytes, and the barriers.
struct ProductShared {
  struct Stage {                         // one block of 32 channels, hi and lo, of
    char input[kTileFaces * kRowBytes];  // 128 faces: 16 KB
    char weights[256 * kRowBytes];       // up to 256 columns: 32 KB
  } stage[kStages];
  char out[2][2][64 * kRowBytes];  // [warpgroup][in turn] 64 faces x 32 channels: 8 KB each
  uint64_t full[kStages], empty[kStages];
  int tile[kStages];  // the tile a stage belongs to; -1: no more
};
constexpr int kProductSharedBytes = sizeof(ProductShared) + 1024;  // and room to align it
static_assert(kProductSharedBytes <= 232448, "a Hopper block has 227 KB of shared memory");

#if FACEGEN_SM90A
namespace {

// Groups of 128 faces whose tiles are taken together. Many: few short tiles are left for the end. Few: what the
// multiprocessors read at a time stays in the L2 cache (a group's input map: tconv1 4 MB, tconv2 8 MB, tconv3 17 MB).
template <int layer>
__host__ __device__ constexpr int tiles_together() {
  return layer <= 1 ? 8 : layer == 2 ? 4 : 1;
}

// Offsets from a position that share a set of phases.
struct Shifts {
  int first, last;
  __device__ int count() const { return max(last - first + 1, 0); }
};

// Where a tile lies, and which input pixels it sees.
template <int layer>
struct Tile {
  using P = Plan<layer>;
  int face, position;       // first face; position of the plan
  int i, j;                 // input pixel
  int odd_row, odd_column;  // of the output pixel, where the position has one phase

  // Tiles are numbered so that those of kTogether x 128 faces come together, those with most work first.
  __device__ Tile(const ProductTask& task, int number) {
    constexpr int kTogether = tiles_together<layer>();
    const int groups = (task.n + kTileFaces - 1) / kTileFaces;
    const int first = number / (P::kPositions * kTogether) * kTogether;
    const int together = min(kTogether, groups - first), rest = number % (P::kPositions * kTogether);
    face = (first + rest % together) * kTileFaces;
    position = task.order[rest / together];
    i = j = odd_row = odd_column = 0;
    if (P::kProj) return;
    i = position / P::kPositionColumns;
    j = position % P::kPositionColumns;
    if (P::kRowPhases == 1) odd_row = i % 2, i /= 2;
    if (P::kColumnPhases == 1) odd_column = j % 2, j /= 2;
  }

  // Shifts that reach every phase (far = false), and the one that reaches odd phases only.
  __device__ static Shifts shifts(int phases, int odd, int at, int size, bool far) {
    if (P::kProj) return {0, 0};
    const int next = at + 1 < size ? 1 : 0;
    if (far) return {1, next};
    return {at > 0 ? -1 : 0, phases == 1 && odd ? next : 0};
  }
  __device__ Shifts rows(bool far) const { return shifts(P::kRowPhases, odd_row, i, P::H, far); }
  __device__ Shifts columns(bool far) const { return shifts(P::kColumnPhases, odd_column, j, P::W, far); }
  __device__ int blocks(bool far_row, bool far_column) const {
    return rows(far_row).count() * columns(far_column).count() * P::kBlocks;
  }
};

// A place in the ring.
struct Turn {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

// The feeding thread: takes tiles until there are none, and copies the operands of each, block by block.
template <int layer>
__device__ void feed(const ProductTask& task, ProductShared& shared) {
  using P = Plan<layer>;
  const int tiles = (task.n + kTileFaces - 1) / kTileFaces * P::kPositions;
  Turn turn;
  int number = blockIdx.x;
  while (number < tiles) {
    const int next_number = gridDim.x + atomicAdd(task.next_tile, 1);  // early: the answer takes a while
    const Tile<layer> tile(task, number);
#pragma unroll 1
    for (int step = 0; step < P::kRowPhases * P::kColumnPhases; ++step) {
      const int far_row = step / P::kColumnPhases, far_column = step % P::kColumnPhases;
      const int columns = P::kColumns / (1 + far_row) / (1 + far_column);
      const Shifts rows = tile.rows(far_row), cols = tile.columns(far_column);
#pragma unroll 1
      for (int di = rows.first; di <= rows.last; ++di) {
#pragma unroll 1
        for (int dj = cols.first; dj <= cols.last; ++dj) {
          const int pixel = P::kProj ? 0 : (tile.i + di) * P::W + tile.j + dj;
          const int weight_row = P::kProj ? tile.position * 256 : P::step_row(di, dj, tile.odd_row, tile.odd_column);
#pragma unroll 1
          for (int block = 0; block < P::kBlocks; ++block) {
            const int x = block * kRowBytes / 2;  // in halves
            wait(&shared.empty[turn.stage], turn.parity ^ 1);
            ProductShared::Stage& stage = shared.stage[turn.stage];
            uint64_t* full = &shared.full[turn.stage];
            shared.tile[turn.stage] = number;
            arrive_expecting(full, (kTileFaces + columns) * kRowBytes);
            for (int f = 0; f < kTileFaces; f += 64)
              load_box(stage.input + f * kRowBytes, &task.input, x, tile.face + f, pixel, full);
#pragma unroll 1
            for (int c = 0; c < columns; c += 64)
              load_box(stage.weights + c * kRowBytes, &task.weights, x, weight_row + c, full);
            turn.next();
          }
        }
      }
    }
    number = next_number;
  }
  wait(&shared.empty[turn.stage], turn.parity ^ 1);
  shared.tile[turn.stage] = -1;
  arrive(&shared.full[turn.stage]);
}

// One warpgroup's share: `blocks` stages of the ring, each 32 channels of a (64, C) x b (columns, C)^T, added to the
// sums of columns 0 ... columns - 1; or, where apart, of columns 0..63 and 128..191. Three products: lo hi' + hi lo' +
// hi hi'. The next stage's products are queued before the last one's are waited for, so the tensor cores never run dry.
// (ptxas serialises all products where accumulators start elsewhere than at a multiple of 64 registers, 128 columns,
// and where the first of two parts is not committed product by product.)
template <int columns, bool apart = false>
__device__ inline void multiply(float (&sum)[128], int blocks, bool fresh, int warpgroup, ProductShared& shared,
                                Turn& turn) {
  constexpr int kApart = 64 * kRowBytes / 16;  // in 16 bytes, to the 64 columns that go apart
  uint64_t* unreleased = nullptr;
  for (int block = 0; block < blocks; ++block) {
    wait(&shared.full[turn.stage], turn.parity);
    const uint64_t a = matrix_descriptor(shared.stage[turn.stage].input + warpgroup * 64 * kRowBytes);
    const uint64_t b = matrix_descriptor(shared.stage[turn.stage].weights);
    products_begin();
#pragma unroll
    for (int part = 0; part < (apart ? 2 : 1); ++part) {
#pragma unroll
      for (int k = 0; k < kAdditions; ++k) {  // 32 bytes of a row each: his 0..15, 16..31, los 0..15, 16..31
        constexpr int kColumns = apart ? 64 : columns;
        const uint64_t at_a = a + 2 * (k < 2 ? k + 2 : k % 2), at_b = b + 2 * (k / 2 == 1 ? k : k % 2) + part * kApart;
        if (part == 0) multiply_f16<kColumns, 0>(sum, at_a, at_b, fresh && block == 0 && k == 0);
        if (part == 1) multiply_f16<64, 64>(sum, at_a, at_b);
        if (apart && part == 0) {
          products_commit();
          products_begin();
        }
      }
    }
    products_commit();
    products_wait<1>();
    if (unreleased != nullptr && threadIdx.x % 32 == 0) arrive(unreleased);
    unreleased = &shared.empty[turn.stage];
    turn.next();
  }
  products_wait<0>();
  if (unreleased != nullptr && threadIdx.x % 32 == 0) arrive(unreleased);
}

// Scale, shift, ReLU, split; 32 columns at a time through shared memory to the output map.
template <int layer>
__device__ inline void finish_tile(const float (&sum)[128], const ProductTask& task, const Tile<layer>& tile,
                                   int warpgroup, ProductShared& shared) {
  using P = Plan<layer>;
  const int thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32;
  const int face = tile.face + warpgroup * 64;
  const float2* fold = task.fold + (P::kProj ? tile.position * 256 : 0) + 2 * (lane % 4);
  asm volatile("" : "+l"(fold));  // else all of fold is read once, ahead of all tiles, and spilled
  __half2 top[2] = {__float2half2_rn(0.f), __float2half2_rn(0.f)};  // largest his of this thread's two faces

  // This lane's part of stmatrix: row 16 warp + lane % 16 of 64, in 16-byte chunk lane / 16 (+ 2, + 4, + 6), swizzled.
  const int row = 16 * warp + lane % 16;
#pragma unroll
  for (int q = 0; q < P::kColumns / 32; ++q) {
    char* buffer = shared.out[warpgroup][q % 2];
    if (thread == 0) wait_stores_read<1>();  // the store that last read this buffer
    sync_group(1 + warpgroup, 128);
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {  // 16 columns
      uint32_t hi[2][2], lo[2][2];          // [8 columns][upper, lower face]
#pragma unroll
      for (int group = 0; group < 2; ++group) {
        const int column = 32 * q + 16 * pair + 8 * group;
        const float4 f = __ldg(reinterpret_cast<const float4*>(fold + column));  // scale, shift of two columns
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float* s = &sum[column / 2 + 2 * half];
          const SplitPair split = split_pair(fmaxf(fmaf(s[0], f.x, f.y), 0.f), fmaxf(fmaf(s[1], f.z, f.w), 0.f));
          top[half] = __hmax2(top[half], split.hi);
          hi[group][half] = *reinterpret_cast<const uint32_t*>(&split.hi);
          lo[group][half] = *reinterpret_cast<const uint32_t*>(&split.lo);
        }
      }
      const uint32_t address = shared_address(buffer + row * kRowBytes);
      const int chunk = 2 * pair + lane / 16;
      store_matrices(address + ((chunk ^ (row % 8)) << 4), hi[0][0], hi[0][1], hi[1][0], hi[1][1]);
      store_matrices(address + (((chunk + 4) ^ (row % 8)) << 4), lo[0][0], lo[0][1], lo[1][0], lo[1][1]);
    }
    publish_shared();
    sync_group(1 + warpgroup, 128);
    if (thread == 0) {
      int pixel, channel;
      if constexpr (P::kProj) {
        pixel = tile.position / 2;
        channel = tile.position % 2 * 256 + 32 * q;
      } else {
        const int phase = 32 * q / P::K;
        const int odd_row = P::kRowPhases == 1 ? tile.odd_row : phase < 2;
        const int odd_column = P::kColumnPhases == 1 ? tile.odd_column : phase % 2 == 0;
        pixel = (2 * tile.i + odd_row) * P::out_W + 2 * tile.j + odd_column;
        channel = 32 * q % P::K;
      }
      if (face < task.n) store_box(&task.output, hi_byte(channel) / 2, face, pixel, buffer);
      commit_stores();
    }
  }
  const int rows[2] = {face + 16 * warp + lane / 4, face + 16 * warp + lane / 4 + 8};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float largest = fmaxf(__low2float(top[half]), __high2float(top[half]));
    if (largest > kLargest && rows[half] < task.n) task.overflowed[rows[half]] = 1;
  }
}

template <int layer>
__device__ void consume(const ProductTask& task, int warpgroup, ProductShared& shared) {
  using P = Plan<layer>;
  Turn turn;
  float sum[128];
  for (;;) {
    wait(&shared.full[turn.stage], turn.parity);
    // Read by the lane that gives the stage back.
    const int number = __shfl_sync(~0u, threadIdx.x % 32 == 0 ? shared.tile[turn.stage] : 0, 0);
    if (number < 0) break;
    const Tile<layer> tile(task, number);
    multiply<256>(sum, tile.blocks(false, false), true, warpgroup, shared, turn);
    if constexpr (P::kColumnPhases == 2)  // odd columns: one of two phases, or odd-odd and even-odd
      multiply<128, P::kRowPhases == 2>(sum, tile.blocks(false, true), false, warpgroup, shared, turn);
    if constexpr (P::kRowPhases == 2) {  // odd rows: odd-odd and odd-even; then odd-odd alone
      multiply<128>(sum, tile.blocks(true, false), false, warpgroup, shared, turn);
      multiply<64>(sum, tile.blocks(true, true), false, warpgroup, shared, turn);
    }
    finish_tile(sum, task, tile, warpgroup, shared);
  }
  if (threadIdx.x % 128 == 0) wait_stores_done();
}

}  // namespace
#endif  // FACEGEN_SM90A

// Tile: 128 faces at one position of the plan (an output pixel, pair or 2x2 block) x all its 256 columns; blocks of the
// persistent grid take tiles in turn, heaviest first within 128 faces. For a tile, the input pixels it sees are walked,
// and for each its channels, 32 at a time: a stage of the ring holds those of the 128 faces (16 KB) and of the weights
// (32 KB), hi and lo, enough for 1,536 cycles of tensor work: 32 bytes a cycle. Each 64 x 256 x 16 product reads 10 KB
// in 128 cycles, 80 of the 128 bytes a cycle that shared memory delivers.
// The order of the sums is the plan's alone: a face's bits depend neither on its row in the tile nor on the grid.
// Grid: one block per multiprocessor; 384 threads; sizeof(ProductShared) + 1 KiB for alignment.
template <int layer>
__global__ void __launch_bounds__(kProductThreads) product_kernel(const __grid_constant__ ProductTask task) {
#if FACEGEN_SM90A
  extern __shared__ uint8_t memory[];
  ProductShared& shared = *reinterpret_cast<ProductShared*>(memory + (1024 - shared_address(memory) % 1024) % 1024);
  if (threadIdx.x == 0) {
    prefetch_map(&task.input);
    prefetch_map(&task.weights);
    prefetch_map(&task.output);
    for (int s = 0; s < kStages; ++s) {
      barrier_init(&shared.full[s], 1);
      barrier_init(&shared.empty[s], 8);  // consumer warps
    }
    barrier_init_done();
  }
  __syncthreads();
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int warpgroup = threadIdx.x / 128;
  if (warpgroup == 2) {
    give_registers<40>();
    if (threadIdx.x == 256) feed<layer>(task, shared);
  } else {
    take_registers<232>();
    consume<layer>(task, warpgroup, shared);
  }
#endif
}

#endif  // FACEGEN_KERNELS_PRODUCT_HOPPER_CUH_
