// The whole network on CUDA cores in fp32: any GPU, and what the other generators are measured against.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

#include "kernels/clock.h"
#include "kernels/cuda_memory.h"
#include "kernels/fp32/image.cuh"
#include "kernels/fp32/pack.cuh"
#include "kernels/fp32/proj.cuh"
#include "kernels/fp32/tconv.cuh"
#include "kernels/generator.h"
#include "network.h"

namespace {

// Outputs of a layer that have a bias of their own.
constexpr int biased_outputs(int layer) { return layer == 0 ? kProjOutputs : net::kTable.layer[layer].K; }

// Where each layer's packed parameters lie in one piece of memory, in bytes.
struct Packed {
  std::size_t weight[net::kLayers] = {}, scale[net::kLayers] = {}, shift[net::kLayers] = {};
  std::size_t bytes = 0;

  constexpr Packed() {
    Arena arena;
    for (int layer = 0; layer < net::kLayers; ++layer) {
      const net::Layer& l = net::kTable.layer[layer];
      const std::size_t weights = layer == 0                  ? std::size_t(l.C) * kProjOutputs        // (100, 8192)
                                  : layer == net::kLayers - 1 ? std::size_t(l.C) * kImageTaps * kQuad  // (C, 25, 4)
                                                              : std::size_t(kImageTaps) * l.C * l.K;   // (25, C, K)
      weight[layer] = arena.take(weights * sizeof(float));
      scale[layer] = arena.take(biased_outputs(layer) * sizeof(float));
      shift[layer] = arena.take(biased_outputs(layer) * sizeof(float));
    }
    bytes = arena.end;
  }
};
constexpr Packed kPacked;

// Two maps that take turns: layers 0 and 2 write the first, layers 1 and 3 the second.
constexpr std::size_t map_floats(int layer) {
  const net::Layer& l = net::kTable.layer[layer];
  return std::size_t(l.out_H) * l.out_W * l.K;
}
constexpr std::size_t kFirstMap = std::max(map_floats(0), map_floats(2));   // 32,768 floats a face
constexpr std::size_t kSecondMap = std::max(map_floats(1), map_floats(3));  // 65,536

class ExactGenerator : public Generator {
 public:
  explicit ExactGenerator(const cudaDeviceProp& device) : packed_(kPacked.bytes) {
    // sm_60 and sm_80 have 64 CUDA cores a multiprocessor where their relatives have 128; sm_70 and sm_75 have 64, too.
    const int cores = device.major == 7 || (device.minor == 0 && (device.major == 6 || device.major == 8)) ? 64 : 128;
    peak_flops_ = 2.0 * device.multiProcessorCount * cores * current_clock_hz();

    // 1,024 on an H100: tconv1 then has 2,048 tiles for the 264 blocks that run at a time.
    chunk_faces_ = std::max(1, device.multiProcessorCount / 16) * 128;
  }

  int chunk_faces() const override { return chunk_faces_; }
  double faces_per_s() const override { return kShareOfPeak * peak_flops_ / (2 * net::multiply_adds()); }
  double peak_flops() const override { return peak_flops_; }

  std::size_t workspace_bytes(int n) const override { return (kFirstMap + kSecondMap) * padded(n) * sizeof(float); }

  void load_layer(int layer, const float* network, volatile int*, cudaStream_t stream) override {
    const net::Layer& l = net::kTable.layer[layer];
    if (l.batch_norm) {
      fold(l, biased_outputs(layer), network, scale(layer), shift(layer), stream);
    } else {
      copy(network + l.bias, shift(layer), l.K, stream);
    }
    if (layer == 0) {
      copy(network + l.weight, weight(layer), std::size_t(l.C) * kProjOutputs, stream);
    } else if (layer == net::kLayers - 1) {
      pack_image(l, network, weight(layer), stream);
    } else {
      pack_tconv(l, network, weight(layer), stream);
    }
  }

  void launch_layer(int layer, const Chunk& chunk, cudaStream_t stream) override {
    const int n = chunk.n;
    float* first = reinterpret_cast<float*>(chunk.workspace);
    float* second = first + kFirstMap * padded(n);
    const float *w = weight(layer), *a = scale(layer), *b = shift(layer);
    if (layer == 0) proj(n, chunk.noise, chunk.index, w, a, b, first, stream);
    if (layer == 1) tconv<1>(n, first, w, a, b, second, stream);
    if (layer == 2) tconv<2>(n, second, w, a, b, first, stream);
    if (layer == 3) tconv<3>(n, first, w, a, b, second, stream);
    if (layer == 4) to_image(n, second, w, b, chunk.faces, chunk.index, stream);
  }

 private:
  float* at(std::size_t byte) const { return reinterpret_cast<float*>(packed_.bytes() + byte); }
  float* weight(int layer) const { return at(kPacked.weight[layer]); }
  float* scale(int layer) const { return at(kPacked.scale[layer]); }
  float* shift(int layer) const { return at(kPacked.shift[layer]); }

  static std::size_t padded(int n) { return std::size_t(n + kQuad - 1) / kQuad * kQuad; }

  static void copy(const float* from, float* to, std::size_t floats, cudaStream_t stream) {
    CUDA_CHECK(cudaMemcpyAsync(to, from, floats * sizeof(float), cudaMemcpyDeviceToDevice, stream));
  }

  static constexpr double kShareOfPeak = 0.7;  // reached on an H100

  DeviceMemory packed_;
  double peak_flops_;
  int chunk_faces_;
};

}  // namespace

std::unique_ptr<Generator> make_exact_generator(const cudaDeviceProp& device) {
  return std::make_unique<ExactGenerator>(device);
}
