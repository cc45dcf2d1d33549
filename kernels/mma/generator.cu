// The whole network on the tensor cores of any GPU since sm_80, as exact as fp32 sums are: operands as two fp16 terms,
// three products into fp32 sums. The kernels are mma/product.cuh (proj, tconv1..3) and mma/image.cuh; what an operand
// looks like is split/format.cuh, how a network is taken in split/pack.cuh.
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/clock.h"
#include "kernels/cuda_check.h"
#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "kernels/mma/image.cuh"
#include "kernels/mma/product.cuh"
#include "kernels/split/network.cuh"
#include "network.h"

namespace {

constexpr int kProducts = 3;                  // of fp16, for one of fp32
constexpr double kTensorMultiplyAdds = 1024;  // of fp16, a cycle and multiprocessor: A100, H100
constexpr double kShareOfPeak = 0.6;          // of them is reached

// Products lose next to nothing here (see multiply_stage), so weights need not make up for it, and they are as exact as
// fp32's own.
constexpr Precision kPrecision = {0.f, 1.f, 1.f / (1 << 24), 0.f};

class PreciseGenerator : public SplitGenerator {
 public:
  explicit PreciseGenerator(const cudaDeviceProp& device)
      : multiprocessors_(device.multiProcessorCount), clock_hz_(current_clock_hz()), network_(kPrecision) {
    allow_shared(product_kernel<0>, kProductSharedBytes);
    allow_shared(product_kernel<1>, kProductSharedBytes);
    allow_shared(product_kernel<2>, kProductSharedBytes);
    allow_shared(product_kernel<3>, kProductSharedBytes);
    allow_shared(image_kernel, kImageSharedBytes);
  }

  // 2,048 on an H100: tconv1 then has 2,048 tiles for the 264 blocks that run at a time.
  int chunk_faces() const override { return std::max(1, multiprocessors_ / 8) * kTileFaces; }
  double faces_per_s() const override { return kShareOfPeak * peak_flops() / (2 * net::multiply_adds()); }
  double peak_flops() const override { return 2 * kTensorMultiplyAdds * clock_hz_ * multiprocessors_ / kProducts; }
  std::size_t workspace_bytes(int n) const override { return Workspace(n).bytes; }
  unsigned eight_layers() const override { return 0; }
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
    if (layer < 4) return;
    const ImageTask task = {
        chunk.workspace + where.map[4], network_.weights(4), network_.fold(4), chunk.faces, chunk.index, chunk.n};
    image_kernel<<<chunk.n * kStrips, kImageThreads, kImageSharedBytes, stream>>>(task);
    CUDA_CHECK(cudaGetLastError());
  }

 private:
  template <int layer>
  void launch_product(const Chunk& chunk, const Workspace& where, cudaStream_t stream) {
    const ProductTask task = {chunk.workspace + where.map[layer],
                              network_.weights(layer),
                              chunk.workspace + where.map[layer + 1],
                              network_.fold(layer),
                              chunk.unfit,
                              chunk.n};
    const int tiles = (chunk.n + kTileFaces - 1) / kTileFaces * Tile<layer>::kCount;
    product_kernel<layer><<<tiles, kProductThreads, kProductSharedBytes, stream>>>(task);
    CUDA_CHECK(cudaGetLastError());
  }

  int multiprocessors_;
  double clock_hz_;
  SplitNetwork<0> network_;
};

}  // namespace

std::unique_ptr<Generator> make_precise_generator(const cudaDeviceProp& device) {
  if (device.major < 8) return nullptr;
  cudaFuncAttributes attributes;
  if (cudaFuncGetAttributes(&attributes, product_kernel<0>) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  if (attributes.ptxVersion < 80) return nullptr;  // an empty body: this build has older code alone
  return std::make_unique<PreciseGenerator>(device);
}
