// tconv4 + tanh on Hopper's tensor cores: (32, 32, n, 64) as two terms -> faces (n, 64, 64, 3) in fp32.
#ifndef FACEGEN_KERNELS_HOPPER_IMAGE_CUH_
#define FACEGEN_KERNELS_HOPPER_IMAGE_CUH_

#include "kernels/hopper/hopper.cuh"
#include "kernels/split/format.cuh"

constexpr int kImageFaces = 4;        // faces of a block
constexpr int kImageGatherers = 384;  // threads of warpgroups 0, 1, 2: one per value of two output rows of a face
constexpr int kImageThreads = kImageGatherers + 32;  // and a warp that feeds them; warpgroups 0 and 1 also multiply
constexpr int kImageColumns = 80;                    // 25 taps x 3 channels, padded to a width that wgmma has
constexpr int kImageStages = 2;

struct ImageTask {
  CUtensorMap input;    // (32 * 32, n) rows of 256 bytes, boxes (32, 4) of 128 bytes: an image row of 4 faces
  CUtensorMap weights;  // (80) rows of 256 bytes, boxes (80) of 128 bytes
  const float2* fold;   // (3) {scale, shift}
  float* faces;         // (any number, 64, 64, 3)
  const int* index;     // (n) where in faces they lie, or nullptr
  int n;
  // For the check of all maps: sums of each face's maps (layers, n) and as they are expected (layers), see split/pack.cuh
  const int* sums;
  const float* expected_sums;
  volatile int* unfit;  // (n) set to 1 for a face whose map is unlike what is expected
};

// A map's sum may be so many times what is expected. Of the shipped network a face's is up to 18 times as much.
constexpr float kMostOfExpected = 24;

// Shared memory: 2 x 32 KB of input rows, 20 KB of weights, 3 x 44 KB of products: 221,568 bytes, and the barriers.
struct ImageShared {
  static constexpr int kW = net::kTconv4.W;
  // Floats of a pixel's products and of a face's: four faces' pixels, stored by half a warp, and neighbouring pixels,
  // gathered by a warp, are spread over the banks.
  static constexpr int kPixel = 88, kFace = kW * kPixel + 8;
  static constexpr int kPieces = net::kTconv4.C / kPieceChannels;     // 2
  char input[kImageStages][kPieces][kW * kImageFaces * kPieceBytes];  // rows: 4 faces of each of 32 pixels
  char weights[kPieces][kImageColumns * kPieceBytes];
  float products[3][kImageFaces][kFace];  // of input row h in [h % 3]: (face, pixel, 3 tap + channel)
  uint64_t full[kImageStages], empty[kImageStages], weights_full;
};
constexpr int kImageSharedBytes = sizeof(ImageShared) + 1024;  // and room to align it
static_assert(kImageSharedBytes <= 232448, "a Hopper block has 227 KB of shared memory");

#if FACEGEN_SM90A
namespace {
__device__ void check_faces(const ImageTask& task, int thread, int threads);
__device__ void multiply_row(float (&sum)[40], int warpgroup, int h, ImageShared& shared);
__device__ void keep_row(const float (&sum)[40], int h, ImageShared& shared);

// One thread's output values: the same column and channel of row 2 h or 2 h + 1 of all faces, for every h.
struct Gatherer {
  int odd_row, x, w, first_dj, last_dj, odd_column, channel;
  float scale, shift;

  __device__ explicit Gatherer(const ImageTask& task);
  // From the products of input rows h - 1, h, h + 1. places: where the group's faces begin in task.faces, or -1.
  __device__ void gather(const ImageTask& task, const int (&places)[kImageFaces], int h,
                         const ImageShared& shared) const;
};
static_assert(kImageGatherers == 2 * net::kTconv4.out_W * net::kTconv4.K, "a thread per value of two output rows");
}  // namespace
#endif

// A block computes 4 faces at a time, walking down the 32 input rows. With so few output channels a gather would read
// every input pixel from shared memory 9 times for 12 columns; here each input pixel is multiplied once, with all 25
// taps x 3 channels (75 columns, padded to 80), into shared memory, and every output value then collects its 4, 6 or 9
// products. The last three rows of products are kept. Row h + 2 is multiplied while output rows 2 h and 2 h + 1 are
// collected. Every input byte is read from memory exactly once, every output row is written in whole lines. Grid: at
// most ceil(n / 4) blocks of 416 threads, which take the groups of 4 faces in turn; kImageSharedBytes.
__global__ void __launch_bounds__(kImageThreads, 1) image_kernel(const __grid_constant__ ImageTask task) {
#if FACEGEN_SM90A
  extern __shared__ uint8_t memory[];
  ImageShared& shared = *reinterpret_cast<ImageShared*>(memory + (1024 - shared_address(memory) % 1024) % 1024);
  constexpr net::Layer l = net::kTconv4;
  const int groups = (task.n + kImageFaces - 1) / kImageFaces;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kImageStages; ++s) {
      barrier_init(&shared.full[s], 1);
      barrier_init(&shared.empty[s], 8);  // consumer warps
    }
    barrier_init(&shared.weights_full, 1);
    barrier_init_done();
  }
  __syncthreads();
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int warpgroup = threadIdx.x / 128;
  if (warpgroup == 3) {
    const int thread = threadIdx.x - kImageGatherers;
    if (thread > 0) {
      constexpr int kOthers = kImageThreads - kImageGatherers - 1;  // of the feeding warp
      check_faces(task, kOthers * blockIdx.x + thread - 1, kOthers * gridDim.x);
      return;
    }
    arrive_expecting(&shared.weights_full, sizeof(shared.weights));
    for (int piece = 0; piece < ImageShared::kPieces; ++piece)
      load_box(shared.weights[piece], &task.weights, piece * kPieceBytes / 2, 0, &shared.weights_full);
    for (int group = blockIdx.x; group < groups; group += gridDim.x) {
      for (int h = 0; h < l.H; ++h) {
        const int stage = h % kImageStages;
        wait(&shared.empty[stage], h / kImageStages % 2 ^ 1);
        arrive_expecting(&shared.full[stage], sizeof(shared.input[stage]));
        for (int piece = 0; piece < ImageShared::kPieces; ++piece) {
          load_box(shared.input[stage][piece], &task.input, piece * kPieceBytes / 2, group * kImageFaces, h * l.W,
                   &shared.full[stage]);
        }
      }
    }
    return;
  }
  const Gatherer gatherer(task);
  const bool multiplies = warpgroup < 2;
  if (multiplies) wait(&shared.weights_full, 0);
  float sum[40];
  for (int group = blockIdx.x; group < groups; group += gridDim.x) {
    const int face = group * kImageFaces;
    int places[kImageFaces];
#pragma unroll
    for (int f = 0; f < kImageFaces; ++f) {
      const int row = face + f;
      places[f] = row < task.n ? (task.index ? task.index[row] : row) * net::kFaceFloats : -1;
    }
    for (int h = 0; h < l.H; ++h) {
      if (multiplies) {
        multiply_row(sum, warpgroup, h, shared);
        if (h >= 2) gatherer.gather(task, places, h - 2, shared);
        products_wait<0>();
        if (threadIdx.x % 32 == 0) arrive(&shared.empty[h % kImageStages]);
      } else if (h >= 2) {
        gatherer.gather(task, places, h - 2, shared);
      }
      sync_group(1, kImageGatherers);  // nobody reads row h - 3 any more
      if (multiplies) keep_row(sum, h, shared);
      sync_group(1, kImageGatherers);  // row h is there
    }
    gatherer.gather(task, places, l.H - 2, shared);
    gatherer.gather(task, places, l.H - 1, shared);
  }
#endif
}

#if FACEGEN_SM90A
namespace {

// Each map's sum of this thread's faces against what is expected.
__device__ inline void check_faces(const ImageTask& task, int thread, int threads) {
  for (int face = thread; face < task.n; face += threads) {
    bool fit = true;
#pragma unroll
    for (int layer = 1; layer < net::kLayers; ++layer)
      fit &= task.sums[layer * task.n + face] <= kMostOfExpected * task.expected_sums[layer];
    if (!fit) task.unfit[face] = 1;
  }
}

// Queues the products of one input row: 64 of its 128 (pixel, face) rows x 80 columns.
__device__ inline void multiply_row(float (&sum)[40], int warpgroup, int h, ImageShared& shared) {
  const int stage = h % kImageStages;
  wait(&shared.full[stage], h / kImageStages % 2);
  products_begin();
#pragma unroll
  for (int piece = 0; piece < ImageShared::kPieces; ++piece) {
    const uint64_t a = matrix_descriptor(shared.input[stage][piece] + warpgroup * 64 * kPieceBytes);
    const uint64_t b = matrix_descriptor(shared.weights[piece]);
#pragma unroll
    for (int k = 0; k < additions(false); ++k)  // 32 bytes of a row each, see multiply_step
      multiply_f16<kImageColumns, 0>(sum, a + 2 * (k < 2 ? k + 2 : k % 2), b + 2 * (k / 2 == 1 ? k : k % 2),
                                     piece == 0 && k == 0);
  }
  products_commit();
}

static_assert(net::kTconv4.H % (2 * kImageStages) == 0, "every group of faces begins with the barriers as they were");

// Puts the products of row h where row h - 3 was.
__device__ inline void keep_row(const float (&sum)[40], int h, ImageShared& shared) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  static_assert(kImageFaces == 4, "16 rows of a product are 4 faces of 4 pixels");
  float* pixel = shared.products[h % 3][lane / 4 % 4] + (4 * warp + lane / 16) * ImageShared::kPixel + 2 * (lane % 4);
#pragma unroll
  for (int j = 0; j < kImageColumns / 8; ++j) {
    *reinterpret_cast<float2*>(pixel + 8 * j) = make_float2(sum[4 * j], sum[4 * j + 1]);
    *reinterpret_cast<float2*>(pixel + 2 * ImageShared::kPixel + 8 * j) = make_float2(sum[4 * j + 2], sum[4 * j + 3]);
  }
}

__device__ inline Gatherer::Gatherer(const ImageTask& task) {
  constexpr net::Layer l = net::kTconv4;
  odd_row = threadIdx.x / (l.out_W * l.K);
  x = threadIdx.x % (l.out_W * l.K);
  const int pixel = x / l.K;
  channel = x % l.K;
  odd_column = pixel % 2;
  w = pixel / 2;
  first_dj = w > 0 ? -1 : 0;
  last_dj = odd_column && w + 1 < l.W ? 1 : 0;
  scale = task.fold[channel].x;
  shift = task.fold[channel].y;
}

// tanh to within 2e-7; NaN where x is. tanhf, which is exact to the last bits near 0 too, takes more instructions.
__device__ inline float tanh_to_1e7(float x) { return 1 - __fdividef(2, __expf(2 * x) + 1); }

__device__ inline void Gatherer::gather(const ImageTask& task, const int (&places)[kImageFaces], int h,
                                        const ImageShared& shared) const {
  constexpr net::Layer l = net::kTconv4;
  float sum[kImageFaces] = {};
#pragma unroll
  for (int di = -1; di <= 1; ++di) {
    if (h + di < 0 || h + di >= l.H || di > odd_row) continue;
    const float(*row)[ImageShared::kFace] = shared.products[(h + di) % 3];
#pragma unroll
    for (int dj = -1; dj <= 1; ++dj) {
      if (dj < first_dj || dj > last_dj) continue;
      const int column = l.K * (filter_index(odd_row, di) * net::kFilter + filter_index(odd_column, dj)) + channel;
#pragma unroll
      for (int f = 0; f < kImageFaces; ++f) sum[f] += row[f][(w + dj) * ImageShared::kPixel + column];
    }
  }
  float* out = task.faces + (2 * h + odd_row) * l.out_W * l.K + x;
#pragma unroll
  for (int f = 0; f < kImageFaces; ++f)
    if (places[f] >= 0) out[places[f]] = tanh_to_1e7(fmaf(sum[f], scale, shift));
}

}  // namespace
#endif  // FACEGEN_SM90A

#endif  // FACEGEN_KERNELS_HOPPER_IMAGE_CUH_
