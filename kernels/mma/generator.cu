// The whole network on the tensor cores of any GPU since sm_80, at fp32-class accuracy: operands as two fp16 terms,
// three products into fp32 sums. The kernels are mma/product.cuh (proj, tconv1..3) and mma/image.cuh; what an operand
// looks like is split/format.cuh, how a network is taken in split/fold.cuh, and what happens to a face whose values
// do not fit split/redo.cuh.
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

constexpr int kProducts = 3;          // of fp16, for one of fp32
constexpr double kShareOfPeak = 0.6;  // of the products a second that the multiprocessors can do
constexpr int kRateRounds = 64, kRateSums = 8, kRateThreads = 256;

// cycles: what a block takes for kRateRounds x kRateSums products m16n8k16 a warp. zero: 0, which the compiler must not
// know, as it would leave out products that are the same.
__global__ void __launch_bounds__(kRateThreads) time_products(int zero, int* cycles) {
#if FACEGEN_SM80
  float sum[kRateSums][4];
  for (int i = 0; i < kRateSums; ++i)
    for (float& s : sum[i]) s = float(i * zero);
  const uint32_t a[4] = {uint32_t(zero), uint32_t(zero), uint32_t(zero), uint32_t(zero)};
  __syncthreads();
  const long long start = clock64();
  for (int round = 0; round < kRateRounds; ++round) {
#pragma unroll
    for (int i = 0; i < kRateSums; ++i) multiply16(sum[i], a, zero, zero);
  }
  float all = 0;
  for (int i = 0; i < kRateSums; ++i) all += sum[i][0];
  if (__syncthreads_or(all != 0)) return;  // 0; asked for, so that the products are waited for
  if (threadIdx.x == 0) *cycles = int(clock64() - start);
#endif
}

// Multiply-adds a cycle that a multiprocessor's tensor cores do here, in fp16 with fp32 sums. Why measured: cards of
// the same architecture differ by two (a GeForce from its professional sister), and no property tells.
double measured_multiply_adds() {
  const DeviceMemory memory(sizeof(int));
  int least = 0;
  for (int i = 0; i < 3; ++i) {  // the first one fetches the code
    int cycles = 0;
    time_products<<<1, kRateThreads>>>(0, reinterpret_cast<int*>(memory.bytes()));
    CUDA_CHECK(cudaGetLastError());
    CUDA_CHECK(cudaMemcpy(&cycles, memory.bytes(), sizeof(int), cudaMemcpyDeviceToHost));
    least = i == 0 ? cycles : std::min(least, cycles);
  }
  return double(kRateRounds) * kRateSums * (kRateThreads / 32) * 16 * 8 * 16 / std::max(least, 1);
}

// All public: the test looks into it.
struct MmaGenerator : Generator {
  // Products lose next to nothing here (see multiply_stage), so weights need not make up for it.
  explicit MmaGenerator(const cudaDeviceProp& device)
      : multiprocessors_(device.multiProcessorCount), split_(0.f), multiply_adds_(measured_multiply_adds()) {
    clock_hz_ = current_clock_hz();
    cores_ = device.major == 8 && device.minor == 0 ? 64 : 128;
    allow_shared(product_kernel<0>, kProductSharedBytes);
    allow_shared(product_kernel<1>, kProductSharedBytes);
    allow_shared(product_kernel<2>, kProductSharedBytes);
    allow_shared(product_kernel<3>, kProductSharedBytes);
    allow_shared(image_kernel, kImageSharedBytes);
  }

  const char* name() const override { return "mma"; }
  // 2,048 on an H100: tconv1 then has 2,048 tiles for the 264 blocks that run at a time.
  int chunk_faces() const override { return std::max(1, multiprocessors_ / 8) * kTileFaces; }
  double faces_per_s() const override { return kShareOfPeak * peak_flops() / (2 * net::multiply_adds()); }
  double peak_flops() const override { return 2 * multiply_adds_ * clock_hz_ * multiprocessors_ / kProducts; }
  // Not on a GeForce, whose tensor cores do two multiply-adds where its CUDA cores do one.
  bool pays() const override { return multiply_adds_ / kProducts > cores_; }
  std::size_t workspace_bytes(int n) const override { return Workspace(n).bytes; }

  void load_layer(int layer, const float* network, cudaStream_t stream) override {
    split_.load_layer(layer, network, stream);
  }

  void generate(int n, const float* noise, float* faces, void* workspace, const cudaEvent_t* loaded,
                cudaStream_t stream) override {
    generate_split(*this, n, noise, faces, workspace, loaded, stream);
  }

  template <int layer>
  void launch_product(int n, char* base, const Workspace& where, const cudaEvent_t* loaded, cudaStream_t stream) {
    await_layer(layer, loaded, stream);
    ProductTask task;
    task.input = base + where.map[layer];
    task.weights = split_.weights(layer);
    task.output = base + where.map[layer + 1];
    task.fold = split_.fold(layer);
    task.overflowed = reinterpret_cast<int*>(base + where.overflowed);
    task.n = n;
    const int tiles = (n + kTileFaces - 1) / kTileFaces * Tile<layer>::kCount;
    product_kernel<layer><<<tiles, kProductThreads, kProductSharedBytes, stream>>>(task);
    CUDA_CHECK(cudaGetLastError());
  }

  void launch_image(int n, char* base, const Workspace& where, float* faces, const cudaEvent_t* loaded,
                    cudaStream_t stream) {
    await_layer(4, loaded, stream);
    const ImageTask task = {base + where.map[4], split_.weights(4), split_.fold(4), faces, n};
    image_kernel<<<n * kStrips, kImageThreads, kImageSharedBytes, stream>>>(task);
    CUDA_CHECK(cudaGetLastError());
  }

  int multiprocessors_;
  SplitNetwork<0> split_;
  double multiply_adds_;  // of fp16 products, a cycle and multiprocessor
  double clock_hz_ = 0;
  int cores_ = 0;  // fp32 multiply-adds a cycle and multiprocessor
};

}  // namespace

std::unique_ptr<Generator> make_mma_generator(const cudaDeviceProp& device) {
  if (device.major < 8) return nullptr;
  cudaFuncAttributes attributes;
  if (cudaFuncGetAttributes(&attributes, product_kernel<0>) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  if (attributes.ptxVersion < 80) return nullptr;  // an empty body: this build has older code alone
  return std::make_unique<MmaGenerator>(device);
}
