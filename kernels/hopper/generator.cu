// The whole network on Hopper's tensor cores (sm_90a): operands as two terms, three products into fp32 sums. The kernels
// are hopper/product.cuh (proj, tconv1..3) and hopper/image.cuh; what an operand looks like is split/format.cuh, how a
// network is taken in split/pack.cuh.
#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <string>

#include "kernels/clock.h"
#include "kernels/cuda_check.h"
#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "kernels/hopper/image.cuh"
#include "kernels/hopper/product.cuh"
#include "kernels/split/network.cuh"
#include "network.h"

namespace {

constexpr int kChunkFaces = 2048;
constexpr double kTensorFlops = 4096;  // dense fp16 operations a cycle and multiprocessor (m64n256k16 takes 128 cycles)

// ---- Tensor maps: the driver makes them; its function is found at run time, so that no program links against it

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

EncodeTiled find_encode_tiled() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
#else
  CUDA_CHECK(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found));
#endif
  return found == cudaDriverEntryPointSuccess ? reinterpret_cast<EncodeTiled>(function) : nullptr;
}

struct Dimension {
  int size;
  std::size_t stride;  // bytes
  int box;
};

// A map of rows of so many channels at `address`, copied in boxes of 128 bytes of some rows, 128-byte swizzled. It
// counts in halves. dimensions: of the rows, the one that comes first in a box first.
CUtensorMap make_map(EncodeTiled encode, const void* address, int channels,
                     std::initializer_list<Dimension> dimensions) {
  cuuint64_t sizes[5] = {split_row_bytes(channels) / 2}, strides[4];
  cuuint32_t boxes[5] = {kPieceBytes / 2}, steps[5] = {1, 1, 1, 1, 1};
  std::string text;
  int rank = 1;
  for (const Dimension& d : dimensions) {
    sizes[rank] = d.size;
    strides[rank - 1] = d.stride;
    boxes[rank] = d.box;
    text += " x " + std::to_string(d.size);
    ++rank;
  }
  CUtensorMap map;
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, rank, const_cast<void*>(address), sizes,
                                 strides, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw Failure(kMachine, "cuTensorMapEncodeTiled failed on " + current_gpu() + " with error " +
                                std::to_string(int(result)) + " for a map of " + std::to_string(channels) +
                                " channels" + text);
  }
  return map;
}

// A chunk's map: (pixels, n) rows of so many channels.
CUtensorMap make_chunk_map(EncodeTiled encode, const void* address, int pixels, int n, int channels, int box_pixels,
                           int box_faces) {
  const std::size_t row = split_row_bytes(channels);
  return make_map(encode, address, channels, {{n, row, box_faces}, {pixels, n * row, box_pixels}});
}

// The plan's positions, those with most input pixels first: tiles that are taken last are short, and end together.
template <int layer>
void order_positions(unsigned short (&order)[256]) {
  using P = Plan<layer>;
  auto work = [](int position) {
    if (P::kProj) return 1;
    // Along one axis: a phase's shifts are 2 (even) or 3 (odd), less one at the border that it would cross.
    auto taps = [](int at, int size, int phases) {
      const int i = phases == 1 ? at / 2 : at, odd = at % 2;
      const int even_taps = i > 0 ? 2 : 1, odd_taps = even_taps + (i + 1 < size ? 1 : 0);
      return phases == 2 ? even_taps + odd_taps : odd ? odd_taps : even_taps;
    };
    return taps(position / P::kPositionColumns, P::H, P::kRowPhases) *
           taps(position % P::kPositionColumns, P::W, P::kColumnPhases);
  };
  std::iota(order, order + P::kPositions, static_cast<unsigned short>(0));
  std::stable_sort(order, order + P::kPositions, [&](int a, int b) { return work(a) > work(b); });
}

// What products are off by was measured: with 16-bit corrections it is what cutting sums off leaves, with 8-bit ones the
// four bits of e4m3, less what map_offset gains.
constexpr float kError16 = 1.f / (1 << 17), kError8 = 1.f / 61147;  // 2^-17, 2^-15.9
constexpr Precision kFastPrecision = {kLoss, 0.72f, kError16, kError8};
constexpr Precision kAccuratePrecision = {kLoss, 1.f, kError16, kError8};

template <unsigned eights>
class HopperGenerator : public SplitGenerator {
 public:
  HopperGenerator(const cudaDeviceProp& device, EncodeTiled encode)
      : multiprocessors_(device.multiProcessorCount),
        clock_hz_(current_clock_hz()),
        encode_(encode),
        network_(eights == kFast ? kFastPrecision : kAccuratePrecision) {
    for (int layer = 0; layer < 4; ++layer) {
      const std::size_t row = split_row_bytes(map_channels(layer));  // see kWeightBox
      weights_[layer] =
          make_map(encode_, network_.weights(layer), map_channels(layer),
                   {{2, row, 2}, {4, 8 * row, 4}, {4, 2 * row, 4}, {network_.rows(layer) / 32, 32 * row, 1}});
    }
    weights_[4] = make_map(encode_, network_.weights(4), map_channels(4),
                           {{network_.rows(4), split_row_bytes(map_channels(4)), kImageColumns}});
    allow_shared(product_kernel<0, eights>, kProductSharedBytes);
    allow_shared(product_kernel<1, eights>, kProductSharedBytes);
    allow_shared(product_kernel<2, eights>, kProductSharedBytes);
    allow_shared(product_kernel<3, eights>, kProductSharedBytes);
    allow_shared(image_kernel, kImageSharedBytes);
    clusters_ = fitting_clusters();
    order_positions<0>(order_[0]);
    order_positions<1>(order_[1]);
    order_positions<2>(order_[2]);
    order_positions<3>(order_[3]);
  }

  int chunk_faces() const override { return kChunkFaces; }
  double faces_per_s() const override { return eights == kFast ? 9e5 : 8e5; }
  double peak_flops() const override {
    double units = 0;  // of tensor time for what one fp16 product would take: three of fp16, or one and two of e4m3
    for (int layer = 0; layer < net::kLayers; ++layer)
      units += net::multiply_adds(net::kTable.layer[layer]) * (in_8_bits(eights, layer) ? 2 : 3);
    return kTensorFlops * clock_hz_ * multiprocessors_ * net::multiply_adds() / units;
  }
  std::size_t workspace_bytes(int n) const override { return Workspace(n).bytes; }
  unsigned eight_layers() const override { return eights; }
  const Channels* channels() const override { return network_.channels(); }

  void load_layer(int layer, const float* network, volatile int* unfit, cudaStream_t stream) override {
    network_.load_layer(layer, network, unfit, stream);
  }

  void launch_layer(int layer, const Chunk& chunk, cudaStream_t stream) override {
    const Workspace where(chunk.n);
    if (layer == 0) split_noise(chunk, stream);
    if (layer == 0) launch_product<0>(chunk, where, stream);
    if (layer == 1) launch_product<1>(chunk, where, stream);
    if (layer == 2) launch_product<2>(chunk, where, stream);
    if (layer == 3) launch_product<3>(chunk, where, stream);
    if (layer == 4) launch_image(chunk, where, stream);
  }

 private:
  // How a kernel is launched, in clusters of so many blocks. Blocks start where those of the kernel before have ended,
  // set themselves up, and wait for the rest of it.
  struct Launch {
    cudaLaunchAttribute attributes[2] = {};
    cudaLaunchConfig_t config = {};

    Launch(int blocks, int cluster, int threads, int shared_bytes, cudaStream_t stream) {
      attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attributes[0].val.programmaticStreamSerializationAllowed = 1;
      attributes[1].id = cudaLaunchAttributeClusterDimension;
      attributes[1].val.clusterDim.x = cluster;
      attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
      config.gridDim = dim3(blocks);
      config.blockDim = dim3(threads);
      config.dynamicSmemBytes = shared_bytes;
      config.stream = stream;
      config.attrs = attributes;
      config.numAttrs = cluster > 1 ? 2 : 1;
    }
  };

  // Clusters that the GPU holds at a time: its multiprocessors come in groups, and a cluster lies in one of them.
  static int fitting_clusters() {
    Launch launch(kClusterBlocks, kClusterBlocks, kProductThreads, kProductSharedBytes, nullptr);
    int clusters = 0;
    CUDA_CHECK(cudaOccupancyMaxActiveClusters(&clusters, product_kernel<1, eights>, &launch.config));
    return std::max(clusters, 1);
  }

  template <int layer>
  void launch_product(const Chunk& chunk, const Workspace& where, cudaStream_t stream) {
    using P = Plan<layer>;
    char* base = chunk.workspace;
    ProductTask task;
    task.input = make_chunk_map(encode_, base + where.map[layer], P::H * P::W, chunk.n, P::C, 1, kTileFaces);
    task.weights = weights_[layer];
    task.output = base + where.map[layer + 1];
    task.fold = network_.fold(layer);
    task.sums = reinterpret_cast<int*>(base + where.sums) + (layer + 1) * chunk.n;
    task.unfit = chunk.unfit;
    task.next_tile = reinterpret_cast<int*>(base + where.next_tile) + layer;
    task.n = chunk.n;
    std::copy(order_[layer], order_[layer] + 256, task.order);
    const int tiles = (chunk.n + kGroupFaces - 1) / kGroupFaces * P::kPositions;
    Launch launch(std::min(tiles, clusters_) * kClusterBlocks, kClusterBlocks, kProductThreads, kProductSharedBytes,
                  stream);
    CUDA_CHECK(cudaLaunchKernelEx(&launch.config, product_kernel<layer, eights>, task));
  }

  void launch_image(const Chunk& chunk, const Workspace& where, cudaStream_t stream) {
    constexpr net::Layer l = net::kTconv4;
    ImageTask task;
    task.input = make_chunk_map(encode_, chunk.workspace + where.map[4], l.H * l.W, chunk.n, l.C, l.W, kImageFaces);
    task.weights = weights_[4];
    task.fold = network_.fold(4);
    task.faces = chunk.faces;
    task.index = chunk.index;
    task.n = chunk.n;
    task.sums = reinterpret_cast<const int*>(chunk.workspace + where.sums);
    task.expected_sums = network_.expected_sums();
    task.unfit = chunk.unfit;
    // Why not all multiprocessors: what this kernel waits for is memory, and the other lane's chunk can multiply there.
    const int blocks = std::min((chunk.n + kImageFaces - 1) / kImageFaces, std::max(1, 2 * multiprocessors_ / 3));
    Launch launch(blocks, 1, kImageThreads, kImageSharedBytes, stream);
    CUDA_CHECK(cudaLaunchKernelEx(&launch.config, image_kernel, task));
  }

  int multiprocessors_, clusters_ = 1;
  double clock_hz_;
  EncodeTiled encode_;
  SplitNetwork<eights> network_;
  CUtensorMap weights_[net::kLayers];  // packed weights
  unsigned short order_[4][256] = {};
};

template <unsigned eights>
std::unique_ptr<Generator> make_generator(const cudaDeviceProp& device) {
  if (device.major != 9 || device.minor != 0) return nullptr;
  cudaFuncAttributes attributes;
  if (cudaFuncGetAttributes(&attributes, product_kernel<0, eights>) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  if (attributes.numRegs < 100) return nullptr;  // an empty body: this build has sm_90 code, not sm_90a
  const EncodeTiled encode = find_encode_tiled();
  if (encode == nullptr) return nullptr;
  return std::make_unique<HopperGenerator<eights>>(device, encode);
}

}  // namespace

std::unique_ptr<Generator> make_fast_generator(const cudaDeviceProp& device) { return make_generator<kFast>(device); }

std::unique_ptr<Generator> make_accurate_generator(const cudaDeviceProp& device) {
  return make_generator<kAccurate>(device);
}
