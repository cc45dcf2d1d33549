// proj and tconv1..3 on Hopper's tensor cores: one kernel, a layer as matrix products of 128 faces x 256 columns.
#ifndef FACEGEN_KERNELS_HOPPER_PRODUCT_CUH_
#define FACEGEN_KERNELS_HOPPER_PRODUCT_CUH_

#include "kernels/hopper/hopper.cuh"
#include "kernels/split/format.cuh"

// Which layers' input and weights have 8-bit corrections: bit l is layer l's. They save a third of the tensor cores'
// time, and so of the power, which is what limits all of them. tconv1's cost the least accuracy, as its sums are the
// longest: what cutting them off loses is a third of what it is with 16-bit corrections.
constexpr unsigned kAccurate = 1 << 1, kFast = 1 << 1 | 1 << 2 | 1 << 3;

template <int layer, unsigned eight_layers>
struct HopperPlan : Plan<layer, in_8_bits(eight_layers, layer)> {
  static constexpr int kLayer = layer;
  static constexpr bool kOutEight = in_8_bits(eight_layers, layer + 1);  // the output has 8-bit corrections
};

constexpr int kTileFaces = 128;    // of a block
constexpr int kClusterBlocks = 2;  // they share a tile's weights
constexpr int kGroupFaces = kClusterBlocks * kTileFaces;
constexpr int kProductThreads = 384;  // warpgroups 0 and 1 multiply 64 faces each; warpgroup 2 feeds them

struct ProductTask {
  CUtensorMap input;    // (H * W, n) rows of 4 C bytes, boxes (1, 128) of 128 bytes
  CUtensorMap weights;  // (25 K or 8192) rows of 4 C bytes, boxes (32) of 128 bytes, see kWeightBox
  char* output;         // (out_H * out_W, n) rows of 4 K bytes
  const float2* fold;   // (folds, columns) {scale, shift}
  int* sums;            // (n) of a face's whole output map, as it is kept
  volatile int* unfit;  // (n) set to 1 for a face with a value that the output map cannot hold
  int* next_tile;       // the first tile that no cluster has taken, less their number
  int n;
  unsigned short order[256];  // the plan's positions, those with most work first
};

constexpr int kStages = 4;
constexpr float kMostSum = 1 << 19;  // of a thread's 64 values; a face has 1,024 threads at most

// Rows of a box of weights. A thread holds columns 2 t, 2 t + 1, 8 + 2 t, ... of each 32 of a product (t: its number
// modulo 4): so the rows of output channels 0 1 8 9 16 17 24 25, 2 3 10 11 ... are copied one after another, and what a
// thread holds are 8 neighbouring channels. The copy engine does that: it sees the 32 rows as (g 4, t 4, e 2).
constexpr int kWeightBox = 32;

// Shared memory: 4 x 48 KB ring = 196,608 bytes, and the barriers.
struct ProductShared {
  struct Stage {                           // one piece of the rows of
    char input[kTileFaces * kPieceBytes];  // 128 faces: 16 KB
    char weights[256 * kPieceBytes];       // up to 256 columns: 32 KB
  } stage[kStages];
  uint64_t full[kStages], empty[kStages];
  int tile[kStages];         // the tile a stage belongs to; -1: no more
  uint64_t next_written[2];  // in turn
  int next[2];               // the tile that the cluster takes next
};
constexpr int kProductSharedBytes = sizeof(ProductShared) + 1024;  // and room to align it
static_assert(kProductSharedBytes <= 232448, "a Hopper block has 227 KB of shared memory");

#if FACEGEN_SM90A
namespace {
template <class P>
__device__ void feed(const ProductTask& task, ProductShared& shared);
template <class P>
__device__ void consume(const ProductTask& task, int warpgroup, ProductShared& shared);
}  // namespace
#endif

// Tile: 256 faces at one position of the plan (an output pixel, pair or 2x2 block) x all its 256 columns, 128 faces for
// each of the two blocks of a cluster; the clusters of the persistent grid take tiles in turn, heaviest first within
// 256 faces or a few times that. For a tile, the input pixels it sees are walked, and for each the pieces of its rows:
// a stage of the ring holds one of the 128 faces (16 KB) and of the weights (32 KB), enough for 1,536 cycles of tensor
// work with 16-bit corrections, 1,024 with 8-bit ones. Why clusters: each block copies half of the weights, into both
// blocks' memory, so a block reads 32 KB a stage from the L2 cache instead of 48, and the way there is long and costs
// power. Each 64 x 256 x 16 product reads 10 KB in 128 cycles, 80 of the 128 bytes a cycle that shared memory delivers.
// The order of the sums is the plan's alone: a face's bits depend neither on its row in the tile nor on the grid.
// Grid: clusters of two blocks, one block per multiprocessor; 384 threads; kProductSharedBytes.
template <int layer, unsigned eight_layers>
__global__ void __launch_bounds__(kProductThreads) product_kernel(const __grid_constant__ ProductTask task) {
#if FACEGEN_SM90A
  extern __shared__ uint8_t memory[];
  ProductShared& shared = *reinterpret_cast<ProductShared*>(memory + (1024 - shared_address(memory) % 1024) % 1024);
  if (threadIdx.x == 0) {
    prefetch_map(&task.input);
    prefetch_map(&task.weights);
    for (int s = 0; s < kStages; ++s) {
      barrier_init(&shared.full[s], 1);
      barrier_init(&shared.empty[s], 8 * kClusterBlocks);  // consumer warps
    }
    for (uint64_t& written : shared.next_written) barrier_init(&written, 1);
    barrier_init_done();
  }
  sync_cluster();
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int warpgroup = threadIdx.x / 128;
  if (warpgroup == 2) {
    give_registers<56>();
    if (threadIdx.x == 256) feed<HopperPlan<layer, eight_layers>>(task, shared);
    sync_cluster();  // the other block may still reach into this one's memory
  } else {
    take_registers<224>();
    consume<HopperPlan<layer, eight_layers>>(task, warpgroup, shared);
    sync_cluster();
  }
#endif
}

#if FACEGEN_SM90A
namespace {

// Groups of 256 faces whose tiles are taken together. Many: few short tiles are left for the end. Few: what the
// multiprocessors read at a time stays in the L2 cache (a group's input map: tconv1 8 MB, tconv2 17 MB, tconv3 34 MB).
template <int layer>
__host__ __device__ constexpr int groups_together() {
  return layer <= 1 ? 4 : layer == 2 ? 2 : 1;
}

template <class P>
__device__ inline int cluster_tiles(int n) {
  return (n + kGroupFaces - 1) / kGroupFaces * P::kPositions;
}

// Offsets from a position that share a set of phases.
struct Shifts {
  int first, last;
  __device__ int count() const { return max(last - first + 1, 0); }
};

// Where a tile lies, and which input pixels it sees.
template <class P>
struct Tile {
  int face, position;       // first face; position of the plan
  int i, j;                 // input pixel
  int odd_row, odd_column;  // of the output pixel, where the position has one phase

  // Tiles are numbered so that those of kTogether x 256 faces come together, those with most work first.
  __device__ Tile(const ProductTask& task, int number) {
    constexpr int kTogether = groups_together<P::kLayer>();
    const int groups = (task.n + kGroupFaces - 1) / kGroupFaces;
    const int first = number / (P::kPositions * kTogether) * kTogether;
    const int together = min(kTogether, groups - first), rest = number % (P::kPositions * kTogether);
    face = (first + rest % together) * kGroupFaces + cluster_rank() * kTileFaces;
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
  __device__ int fold() const { return P::kProj ? position : P::fold(odd_row, odd_column, i, j); }
  __device__ int pieces(bool far_row, bool far_column) const {
    return rows(far_row).count() * columns(far_column).count() * P::kPieces;
  }
};

// A place in the ring.
struct Turn {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
  __device__ int previous_stage() const { return (stage + kStages - 1) % kStages; }
};

// The feeding thread: takes tiles until there are none, and copies the operands of each, piece by piece: its block's own
// faces, and every other box of the weights into both blocks of the cluster. The first block's thread takes the tiles.
template <class P>
__device__ void feed(const ProductTask& task, ProductShared& shared) {
  constexpr uint16_t kBothBlocks = (1 << kClusterBlocks) - 1;
  const int tiles = cluster_tiles<P>(task.n), clusters = gridDim.x / kClusterBlocks;
  const int rank = cluster_rank();
  Turn turn;
  int number = blockIdx.x / kClusterBlocks;
  for (int taken = 0; number < tiles; ++taken) {
    int next_number = 0;
    if (rank == 0) next_number = clusters + atomicAdd(task.next_tile, 1);  // early: the answer takes a while
    const Tile<P> tile(task, number);
#pragma unroll 1
    for (int pass = 0; pass < (P::kEight ? 2 : 1); ++pass) {
      const int first_piece = P::kEight && pass == 0 ? P::kPieces : 0;  // corrections come first
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
            for (int piece = first_piece; piece < first_piece + P::kPieces; ++piece) {
              const int x = piece * kPieceBytes / 2;  // in halves
              wait(&shared.empty[turn.stage], turn.parity ^ 1);
              ProductShared::Stage& stage = shared.stage[turn.stage];
              uint64_t* full = &shared.full[turn.stage];
              shared.tile[turn.stage] = number;
              arrive_expecting(full, (kTileFaces + columns) * kPieceBytes);
              load_box(stage.input, &task.input, x, tile.face, pixel, full);
#pragma unroll 1
              for (int c = rank * kWeightBox; c < columns; c += kClusterBlocks * kWeightBox)
                load_box_into(kBothBlocks, stage.weights + c * kPieceBytes, &task.weights, x, 0, 0, 0,
                              (weight_row + c) / kWeightBox, full);
              turn.next();
            }
          }
        }
      }
    }
    uint64_t* written = &shared.next_written[taken % 2];
    arrive_expecting(written, sizeof(int));
    for (int block = 0; rank == 0 && block < kClusterBlocks; ++block)
      send(block, &shared.next[taken % 2], next_number, written);
    wait_for_cluster(written, taken / 2 % 2);
    number = shared.next[taken % 2];
  }
  wait(&shared.empty[turn.stage], turn.parity ^ 1);
  shared.tile[turn.stage] = -1;
  arrive(&shared.full[turn.stage]);
}

// What a stage of the ring holds, and so which products its pieces take part in.
enum class Products { kAll16, kCorrections8, kMain16 };

// The k-th product of one piece: 64 rows x columns, into the sums from `first` on. a, b: the pieces' first bytes.
template <Products products, int columns, int first>
__device__ inline void multiply_step(float (&sum)[128], uint64_t a, uint64_t b, int k) {
  // 32 bytes of a row at a time. kAll16: high terms 0..15, 16..31, low terms 0..15, 16..31; lo hi' + hi lo' + hi hi'.
  if (products == Products::kAll16)
    multiply_f16<columns, first>(sum, a + 2 * (k < 2 ? k + 2 : k % 2), b + 2 * (k / 2 == 1 ? k : k % 2));
  if (products == Products::kMain16) multiply_f16<columns, first>(sum, a + 2 * k, b + 2 * k);
  if (products == Products::kCorrections8) multiply_e4m3<columns, first>(sum, a + 2 * k, b + 2 * k);
}

// Gives a stage back, in both blocks: its weights are filled from both.
__device__ inline void release(int stage, ProductShared& shared) {
  const int lane = threadIdx.x % 32;
  if (lane == 0) arrive(&shared.empty[stage]);
  if (lane == 1) arrive_in(cluster_rank() ^ 1, &shared.empty[stage]);
}

// One warpgroup's share: `pieces` stages of the ring, each a piece of (64, C) x (columns, C)^T, added to the sums of
// columns 0 ... columns - 1; or, where apart, of columns 0..63 and 128..191. The next stage's products are queued
// before the last one's are waited for and that one is given back (held: there is one from before), so the tensor cores
// never run dry. (ptxas serialises all products where accumulators start elsewhere than at a multiple of 64 registers,
// 128 columns, and where the first of two parts is not committed product by product.)
template <Products products, int columns, bool apart = false>
__device__ inline void multiply(float (&sum)[128], int pieces, bool held, int warpgroup, ProductShared& shared,
                                Turn& turn) {
  constexpr int kApart = 64 * kPieceBytes / 16;  // in 16 bytes, to the 64 columns that go apart
  constexpr int kSteps = products == Products::kAll16 ? 6 : 4;
  for (int piece = 0; piece < pieces; ++piece) {
    wait(&shared.full[turn.stage], turn.parity);
    const uint64_t a = matrix_descriptor(shared.stage[turn.stage].input + warpgroup * 64 * kPieceBytes);
    const uint64_t b = matrix_descriptor(shared.stage[turn.stage].weights);
    products_begin();
#pragma unroll
    for (int part = 0; part < (apart ? 2 : 1); ++part) {
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        constexpr int kColumns = apart ? 64 : columns;
        if (part == 0) multiply_step<products, kColumns, 0>(sum, a, b, k);
        if (part == 1) multiply_step<products, kColumns, 64>(sum, a, b + kApart, k);
        if (apart && part == 0) products_commit();
      }
    }
    products_commit();
    products_wait<1>();
    if (held || piece > 0) release(turn.previous_stage(), shared);
    turn.next();
  }
}

// The stages of one pass over a tile, by the columns that they reach: all; odd ones; odd rows; both. In one register.
struct Work {
  int pieces;  // 4 x 8 bits
  template <class P>
  __device__ explicit Work(const Tile<P>& tile)
      : pieces(tile.pieces(false, false) | tile.pieces(false, true) << 8 | tile.pieces(true, false) << 16 |
               tile.pieces(true, true) << 24) {}
  __device__ int of(bool far_row, bool far_column) const { return pieces >> (16 * far_row + 8 * far_column) & 255; }
};

// All of a tile's products of one pass.
template <class P, Products products>
__device__ inline void multiply_tile(float (&sum)[128], const Work& work, int warpgroup, ProductShared& shared,
                                     Turn& turn) {
  multiply<products, 256>(sum, work.of(false, false), false, warpgroup, shared, turn);
  if constexpr (P::kColumnPhases == 2)  // odd columns: one of two phases, or odd-odd and even-odd
    multiply<products, 128, P::kRowPhases == 2>(sum, work.of(false, true), true, warpgroup, shared, turn);
  if constexpr (P::kRowPhases == 2) {  // odd rows: odd-odd and odd-even; then odd-odd alone
    multiply<products, 128>(sum, work.of(true, false), true, warpgroup, shared, turn);
    multiply<products, 64>(sum, work.of(true, true), true, warpgroup, shared, turn);
  }
  products_wait<0>();
  release(turn.previous_stage(), shared);
}

// Scale, shift, ReLU, split, and straight to the output map: the sums' columns are dealt out such that a thread's eight
// of every 32 are neighbouring channels (see kWeightBox), 16 bytes of high terms and 16 of low ones, and four threads
// fill 64 bytes. Beside it, the largest value and the sum of a face's values, which tell a face that is unlike what
// packing expects.
template <class P>
__device__ inline void finish_tile(const float (&sum)[128], const ProductTask& task, const Tile<P>& tile,
                                   int warpgroup) {
  constexpr std::size_t kOutRow = split_row_bytes(P::K);
  const int warp = threadIdx.x % 128 / 32, lane = threadIdx.x % 32;
  const int own = lane % 4 * 8;                                        // first of this thread's channels of every 32
  const int face = tile.face + warpgroup * 64 + 16 * warp + lane / 4;  // and 8 further
  const float2* fold = task.fold + tile.fold() * P::kColumns + own;
  constexpr float kLeast = 0.f - map_offset(P::kOutEight);
  constexpr int kValues = P::kColumns / 4;
  // Of this thread's two faces the sums of high terms, and the largest; where the map takes all of fp16, the sum tells.
  __half2 total[2] = {}, top[2] = {};
#pragma unroll
  for (int q = 0; q < P::kColumns / 32; ++q) {
    int pixel, channel;  // of these 32 columns
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
    uint32_t hi[2][4], lo[2][4], hi8[2][2], lo8[2][2];  // [face][two or four channels]
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float4 f = __ldg(reinterpret_cast<const float4*>(fold + 32 * q + 2 * i));  // scale, shift of two channels
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* s = &sum[16 * q + 4 * i + 2 * half];
        const float x = fmaxf(fmaf(s[0], f.x, f.y), kLeast), y = fmaxf(fmaf(s[1], f.z, f.w), kLeast);
        const SplitPair split = split_pair(x, y);
        if (P::kOutEight) top[half] = __hmax2(top[half], split.hi);
        total[half] = __hadd2(total[half], split.hi);
        hi[half][i] = as_bits(split.hi);
        if constexpr (P::kOutEight) {
          const Corrections8 e = corrections8(x, y, split.hi, power_of_two(kHi8Exponent), power_of_two(kLo8Exponent));
          hi8[half][i / 2] = i % 2 == 0 ? e.hi : hi8[half][i / 2] | e.hi << 16;
          lo8[half][i / 2] = i % 2 == 0 ? e.lo : lo8[half][i / 2] | e.lo << 16;
        } else {
          lo[half][i] = as_bits(split.lo);
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (face + 8 * half >= task.n) continue;
      char* row = task.output + (std::size_t(pixel) * task.n + face + 8 * half) * kOutRow;
      *reinterpret_cast<uint4*>(row + hi_byte(P::kOutEight, channel) + 2 * own) =
          make_uint4(hi[half][0], hi[half][1], hi[half][2], hi[half][3]);
      if constexpr (P::kOutEight) {
        char* corrections = row + first8_byte(P::K, channel) + own;
        *reinterpret_cast<uint2*>(corrections) = make_uint2(lo8[half][0], lo8[half][1]);
        *reinterpret_cast<uint2*>(corrections + kPieceBytes / 2) = make_uint2(hi8[half][0], hi8[half][1]);
      } else {
        *reinterpret_cast<uint4*>(row + lo16_byte(channel) + 2 * own) =
            make_uint4(lo[half][0], lo[half][1], lo[half][2], lo[half][3]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (face + 8 * half >= task.n) continue;
    const float both = __low2float(total[half]) + __high2float(total[half]) - kValues * kLeast;
    const float largest = P::kOutEight ? fmaxf(__low2float(top[half]), __high2float(top[half])) : both / 2;
    if (!(largest <= largest_value(P::kOutEight))) task.unfit[face + 8 * half] = 1;
    atomicAdd(&task.sums[face + 8 * half], __float2int_rn(fminf(both, kMostSum)));
  }
}

template <class P>
__device__ void consume(const ProductTask& task, int warpgroup, ProductShared& shared) {
  Turn turn;
  float sum[128];
  for (;;) {
    wait(&shared.full[turn.stage], turn.parity);
    // Read by the lane that gives the stage back.
    const int number = __shfl_sync(~0u, threadIdx.x % 32 == 0 ? shared.tile[turn.stage] : 0, 0);
    if (number < 0) break;
    const Work work(Tile<P>(task, number));
    // Why not by the first products: ptxas would then serialise them all for want of registers.
#pragma unroll
    for (float& x : sum) x = 0;
    if constexpr (P::kEight) {
      multiply_tile<P, Products::kCorrections8>(sum, work, warpgroup, shared, turn);
#pragma unroll
      for (float& x : sum) x *= kCorrections8Factor;
      multiply_tile<P, Products::kMain16>(sum, work, warpgroup, shared, turn);
    } else {
      multiply_tile<P, Products::kAll16>(sum, work, warpgroup, shared, turn);
    }
    int same_number = number;
    asm volatile("" : "+r"(same_number));  // else what tile this is takes registers meanwhile
    finish_tile(sum, task, Tile<P>(task, same_number), warpgroup);
  }
}

}  // namespace
#endif  // FACEGEN_SM90A

#endif  // FACEGEN_KERNELS_HOPPER_PRODUCT_CUH_
