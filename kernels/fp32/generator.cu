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

constexpr std::size_t kAlignFloats = 256;  // every packed array starts at a multiple of 1 KiB

// Where each layer's packed parameters lie in one array, in floats.
struct Packed {
  std::size_t weight[net::kLayers], scale[net::kLayers], shift[net::kLayers];
  std::size_t floats;
};

// Outputs of a layer that have a bias of their own.
constexpr int biased_outputs(int layer) { return layer == 0 ? kProjOutputs : net::kTable.layer[layer].K; }

constexpr Packed plan_packed() {
  Packed packed = {};
  std::size_t end = 0;
  for (int layer = 0; layer < net::kLayers; ++layer) {
    const net::Layer& l = net::kTable.layer[layer];
    const std::size_t weights = layer == 0                  ? std::size_t(l.C) * kProjOutputs        // (100, 8192)
                                : layer == net::kLayers - 1 ? std::size_t(l.C) * kImageTaps * kQuad  // (C, 25, 4)
                                                            : std::size_t(kImageTaps) * l.C * l.K;   // (25, C, K)
    const std::size_t sizes[3] = {weights, std::size_t(biased_outputs(layer)), std::size_t(biased_outputs(layer))};
    std::size_t* const starts[3] = {&packed.weight[layer], &packed.scale[layer], &packed.shift[layer]};
    for (int i = 0; i < 3; ++i) {
      *starts[i] = end;
      end += (sizes[i] + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
    }
  }
  packed.floats = end;
  return packed;
}
constexpr Packed kPacked = plan_packed();

// Two maps that take turns: layers 0 and 2 write the first, layers 1 and 3 the second.
constexpr std::size_t map_floats(int layer) {
  const net::Layer& l = net::kTable.layer[layer];
  return std::size_t(l.out_H) * l.out_W * l.K;
}
constexpr std::size_t kFirstMap = std::max(map_floats(0), map_floats(2));   // 32,768 floats a face
constexpr std::size_t kSecondMap = std::max(map_floats(1), map_floats(3));  // 65,536

class SimtGenerator : public Generator {
 public:
  explicit SimtGenerator(const cudaDeviceProp& device) : packed_(kPacked.floats * sizeof(float)) {
    // sm_60 and sm_80 have 64 CUDA cores a multiprocessor where their relatives have 128; sm_70 and sm_75 have 64, too.
    const int cores = device.major == 7 || (device.minor == 0 && (device.major == 6 || device.major == 8)) ? 64 : 128;
    peak_flops_ = 2.0 * device.multiProcessorCount * cores * current_clock_hz();

    // 1,024 on an H100: tconv1 then has 2,048 tiles for the 264 blocks that run at a time.
    chunk_faces_ = std::max(1, device.multiProcessorCount / 16) * 128;
  }

  const char* name() const override { return "simt"; }
  int chunk_faces() const override { return chunk_faces_; }
  double faces_per_s() const override { return kShareOfPeak * peak_flops_ / (2 * net::multiply_adds()); }
  double peak_flops() const override { return peak_flops_; }

  std::size_t workspace_bytes(int n) const override { return (kFirstMap + kSecondMap) * padded(n) * sizeof(float); }

  void load_layer(int layer, const float* network, cudaStream_t stream) override {
    const net::Layer& l = net::kTable.layer[layer];
    float* weight = packed_.floats() + kPacked.weight[layer];
    if (l.batch_norm) {
      fold(l, biased_outputs(layer), network, packed_.floats() + kPacked.scale[layer],
           packed_.floats() + kPacked.shift[layer], stream);
    } else {
      copy(network + l.bias, packed_.floats() + kPacked.shift[layer], l.K, stream);
    }
    if (layer == 0) {
      copy(network + l.weight, weight, std::size_t(l.C) * kProjOutputs, stream);
    } else if (layer == net::kLayers - 1) {
      pack_image(l, network, weight, stream);
    } else {
      pack_tconv(l, network, weight, stream);
    }
  }

  void generate(int n, const float* noise, float* faces, void* workspace, const cudaEvent_t* loaded,
                cudaStream_t stream) override {
    float* first = static_cast<float*>(workspace);
    float* second = first + kFirstMap * padded(n);
    const auto weight = [&](int layer) { return packed_.floats() + kPacked.weight[layer]; };
    const auto scale = [&](int layer) { return packed_.floats() + kPacked.scale[layer]; };
    const auto shift = [&](int layer) { return packed_.floats() + kPacked.shift[layer]; };

    await_layer(0, loaded, stream);
    proj(n, noise, weight(0), scale(0), shift(0), first, stream);
    await_layer(1, loaded, stream);
    tconv<1>(n, first, weight(1), scale(1), shift(1), second, stream);
    await_layer(2, loaded, stream);
    tconv<2>(n, second, weight(2), scale(2), shift(2), first, stream);
    await_layer(3, loaded, stream);
    tconv<3>(n, first, weight(3), scale(3), shift(3), second, stream);
    await_layer(4, loaded, stream);
    to_image(n, second, weight(4), shift(4), faces, stream);
  }

 private:
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

std::unique_ptr<Generator> make_simt_generator(const cudaDeviceProp& device) {
  return std::unique_ptr<Generator>(new SimtGenerator(device));
}
