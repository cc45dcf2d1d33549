// The whole network on Hopper's tensor cores (sm_90a), at fp32-class accuracy: operands as two terms, three products
// into fp32 sums. The kernels are hopper/product.cuh (proj, tconv1..3) and hopper/image.cuh; what an operand looks
// like is split/format.cuh, how a network is taken in split/fold.cuh, and what happens to a face whose values do not
// fit split/redo.cuh.
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
  cuuint32_t boxes[5] = {kRowBytes / 2}, steps[5] = {1, 1, 1, 1, 1};
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

// eight_layers: which layers have 8-bit corrections, kAccurate or kFast. All public: the test looks into it.
template <unsigned eight_layers>
struct HopperGenerator : Generator {
  HopperGenerator(const cudaDeviceProp& device, EncodeTiled encode)
      : multiprocessors_(device.multiProcessorCount), clock_hz_(current_clock_hz()), encode_(encode), split_(kLoss) {
    for (int layer = 0; layer < 4; ++layer) {
      const std::size_t row = split_row_bytes(map_channels(layer));  // see kWeightBox
      weights_[layer] =
          make_map(encode_, split_.weights(layer), map_channels(layer),
                   {{2, row, 2}, {4, 8 * row, 4}, {4, 2 * row, 4}, {split_.rows(layer) / 32, 32 * row, 1}});
    }
    weights_[4] = make_map(encode_, split_.weights(4), map_channels(4),
                           {{split_.rows(4), split_row_bytes(map_channels(4)), kImageColumns}});
    allow_shared(product_kernel<0, eight_layers>, kProductSharedBytes);
    allow_shared(product_kernel<1, eight_layers>, kProductSharedBytes);
    allow_shared(product_kernel<2, eight_layers>, kProductSharedBytes);
    allow_shared(product_kernel<3, eight_layers>, kProductSharedBytes);
    allow_shared(image_kernel, kImageSharedBytes);
    clusters_ = fitting_clusters();
    order_positions<0>(order_[0]);
    order_positions<1>(order_[1]);
    order_positions<2>(order_[2]);
    order_positions<3>(order_[3]);
  }

  const char* name() const override { return eight_layers == kFast ? "hopper8" : "hopper"; }
  int chunk_faces() const override { return kChunkFaces; }
  double faces_per_s() const override { return eight_layers == kFast ? 9e5 : 8e5; }
  bool pays() const override { return eight_layers != kFast; }  // where its larger error is asked for by name alone
  double peak_flops() const override {
    double units = 0;  // of tensor time for what one fp16 product would take: three of fp16, or one and two of e4m3
    for (int layer = 0; layer < net::kLayers; ++layer)
      units += net::multiply_adds(net::kTable.layer[layer]) * (in_8_bits(eight_layers, layer) ? 2 : 3);
    return kTensorFlops * clock_hz_ * multiprocessors_ * net::multiply_adds() / units;
  }
  std::size_t workspace_bytes(int n) const override { return Workspace(n).bytes; }

  void load_layer(int layer, const float* network, cudaStream_t stream) override {
    split_.load_layer(layer, network, stream);
  }

  void generate(int n, const float* noise, float* faces, void* workspace, const cudaEvent_t* loaded,
                cudaStream_t stream) override {
    generate_split(*this, n, noise, faces, workspace, loaded, stream);
  }

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
    CUDA_CHECK(cudaOccupancyMaxActiveClusters(&clusters, product_kernel<1, eight_layers>, &launch.config));
    return std::max(clusters, 1);
  }

  template <int layer>
  void launch_product(int n, char* base, const Workspace& where, const cudaEvent_t* loaded, cudaStream_t stream) {
    using P = Plan<layer>;
    await_layer(layer, loaded, stream);
    ProductTask task;
    task.input = make_chunk_map(encode_, base + where.map[layer], P::H * P::W, n, P::C, 1, kTileFaces);
    task.weights = weights_[layer];
    task.output = base + where.map[layer + 1];
    task.fold = split_.fold(layer);
    task.overflowed = reinterpret_cast<int*>(base + where.overflowed);
    task.next_tile = reinterpret_cast<int*>(base + where.next_tile) + layer;
    task.n = n;
    std::copy(order_[layer], order_[layer] + 256, task.order);
    const int tiles = (n + kGroupFaces - 1) / kGroupFaces * P::kPositions;
    Launch launch(std::min(tiles, clusters_) * kClusterBlocks, kClusterBlocks, kProductThreads, kProductSharedBytes,
                  stream);
    CUDA_CHECK(cudaLaunchKernelEx(&launch.config, product_kernel<layer, eight_layers>, task));
  }

  void launch_image(int n, char* base, const Workspace& where, float* faces, const cudaEvent_t* loaded,
                    cudaStream_t stream) {
    await_layer(4, loaded, stream);
    constexpr net::Layer l = net::kTconv4;
    ImageTask image;
    image.input = make_chunk_map(encode_, base + where.map[4], l.H * l.W, n, l.C, l.W, kImageFaces);
    image.weights = weights_[4];
    image.fold = split_.fold(4);
    image.faces = faces;
    image.n = n;
    // Why not all multiprocessors: what this kernel waits for is memory, and the other lane's chunk can multiply there.
    const int blocks = std::min((n + kImageFaces - 1) / kImageFaces, std::max(1, 2 * multiprocessors_ / 3));
    Launch launch(blocks, 1, kImageThreads, kImageSharedBytes, stream);
    CUDA_CHECK(cudaLaunchKernelEx(&launch.config, image_kernel, image));
  }

  int multiprocessors_, clusters_ = 1;
  double clock_hz_;
  EncodeTiled encode_;
  SplitNetwork<eight_layers> split_;
  CUtensorMap weights_[net::kLayers];  // packed weights
  unsigned short order_[4][256] = {};
};

template <unsigned eight_layers>
std::unique_ptr<Generator> make_generator(const cudaDeviceProp& device) {
  if (device.major != 9 || device.minor != 0) return nullptr;
  cudaFuncAttributes attributes;
  if (cudaFuncGetAttributes(&attributes, product_kernel<0, eight_layers>) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  if (attributes.numRegs < 100) return nullptr;  // an empty body: this build has sm_90 code, not sm_90a
  const EncodeTiled encode = find_encode_tiled();
  if (encode == nullptr) return nullptr;
  return std::make_unique<HopperGenerator<eight_layers>>(device, encode);
}

}  // namespace

std::unique_ptr<Generator> make_hopper_generator(const cudaDeviceProp& device) {
  return make_generator<kAccurate>(device);
}

std::unique_ptr<Generator> make_hopper8_generator(const cudaDeviceProp& device) {
  return make_generator<kFast>(device);
}
