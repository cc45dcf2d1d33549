// What generators for tensor cores have in common: where a chunk's maps lie, the packed network in device memory, and
// how noise becomes the first map.
#ifndef FACEGEN_KERNELS_SPLIT_NETWORK_CUH_
#define FACEGEN_KERNELS_SPLIT_NETWORK_CUH_

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/cuda_check.h"
#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "kernels/split/format.cuh"
#include "kernels/split/pack.cuh"
#include "network.h"

// A generator of this folder's format, for tests that look into its maps.
class SplitGenerator : public Generator {
 public:
  virtual unsigned eight_layers() const = 0;     // bit l is set where layer l has 8-bit corrections
  virtual const Channels* channels() const = 0;  // of maps 1 to 4, on the GPU
};

namespace {

constexpr int map_channels(int layer) { return layer == 0 ? kNoisePadded : net::kTable.layer[layer].C; }

// A chunk's arrays in its workspace, as offsets in bytes.
struct Workspace {
  std::size_t map[net::kLayers];  // map[l]: input of layer l, (H * W, n) rows of C channels
  std::size_t sums, next_tile, bytes;

  explicit Workspace(int n) {
    Arena arena;
    for (int layer = 0; layer < net::kLayers; ++layer) {
      const net::Layer& l = net::kTable.layer[layer];
      map[layer] = arena.take(std::size_t(l.H) * l.W * n * split_row_bytes(map_channels(layer)));
    }
    sums = arena.take(std::size_t(net::kLayers) * n * sizeof(int));  // (layers, n): of a face's whole input map, kept
    next_tile = arena.take(net::kLayers * sizeof(int));
    bytes = arena.end;
  }
};

// The network, packed layer by layer. eight_layers: bit l is set where layer l has 8-bit corrections.
template <unsigned eight_layers>
class SplitNetwork {
 public:
  explicit SplitNetwork(const Precision& precision) : precision_(precision), memory_(where_.bytes) {
    CUDA_CHECK(cudaMemset(memory_.bytes(), 0, where_.bytes));  // the weights' padding stays zero
    CUDA_CHECK(cudaDeviceSynchronize());                       // streams do not wait for that
  }

  // Rows of packed weights.
  static constexpr int rows(int layer) {
    return layer == 0 ? 16 * 512 : layer == 4 ? 80 : 25 * net::kTable.layer[layer].K;
  }

  char* weights(int layer) const { return memory_.bytes() + where_.weights[layer]; }  // (rows) of C channels
  float2* fold(int layer) const {                                                     // (folds, columns) {scale, shift}
    return reinterpret_cast<float2*>(memory_.bytes() + where_.fold[layer]);
  }
  Channels* channels() const { return reinterpret_cast<Channels*>(memory_.bytes() + where_.channels); }  // maps 1..4
  float* expected_sums() const { return reinterpret_cast<float*>(memory_.bytes() + where_.expected_sums); }  // (layers)

  void load_layer(int layer, const float* network, volatile int* unfit, cudaStream_t stream) {
    if (layer == 0) {
      pack_proj<<<net::kProj.K / kPackProjChannels, 16 * kPackProjChannels, 0, stream>>>(
          network, in_8_bits(eight_layers, 1), precision_, weights(0), fold(0), channels(), unfit);
      CUDA_CHECK(cudaGetLastError());
    }
    if (layer == 1) pack<1>(network, unfit, stream);
    if (layer == 2) pack<2>(network, unfit, stream);
    if (layer == 3) pack<3>(network, unfit, stream);
    if (layer == 4) pack<4>(network, unfit, stream);
  }

 private:
  template <int layer>
  void pack(const float* network, volatile int* unfit, cudaStream_t stream) {
    Channels* in = channels() + layer - 1;
    pack_tconv<layer, in_8_bits(eight_layers, layer)><<<net::kTable.layer[layer].K, 32 * kPackWarps, 0, stream>>>(
        network, in_8_bits(eight_layers, layer + 1), precision_, in, weights(layer), fold(layer),
        layer == 4 ? nullptr : in + 1, expected_sums() + layer, unfit);
    CUDA_CHECK(cudaGetLastError());
  }

  static constexpr int kMostFolds = Plan<1, true>::kFolds;

  // Offsets in bytes.
  struct Memory {
    std::size_t weights[net::kLayers], fold[net::kLayers], channels, expected_sums, bytes;

    Memory() {
      Arena arena;
      for (int layer = 0; layer < net::kLayers; ++layer) {
        weights[layer] = arena.take(rows(layer) * split_row_bytes(map_channels(layer)));
        fold[layer] = arena.take((layer == 0 ? 16 * 512 : kMostFolds * 256) * sizeof(float2));
      }
      channels = arena.take(4 * sizeof(Channels));
      expected_sums = arena.take(net::kLayers * sizeof(float));
      bytes = arena.end;
    }
  };

  const Precision precision_;
  const Memory where_;
  const DeviceMemory memory_;
};

template <class Task>
void allow_shared(void (*kernel)(Task), int bytes) {
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
}

// noise (n, 100), or by index -> map (n) rows of 128 channels; sums (layers, n) and next_tile (layers) start at 0.
// A thread per 4 values, 32 threads a face.
__global__ void split_noise_kernel(int n, const float* __restrict__ noise, const int* __restrict__ index,
                                   char* __restrict__ map, int* __restrict__ sums, int* __restrict__ next_tile) {
  const int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread < net::kLayers) next_tile[thread] = 0;
  if (thread < net::kLayers * n) sums[thread] = 0;
  const int row = thread / 32, c = thread % 32 * 4;
  if (row >= n) return;
  const int face = index ? index[row] : row;
  float4 x = make_float4(0, 0, 0, 0);
  if (c < net::kNoise) x = *reinterpret_cast<const float4*>(noise + std::size_t(face) * net::kNoise + c);
  constexpr float kFactor = 1 << kNoiseExponent;
  const SplitPair a = split_pair(x.x * kFactor, x.y * kFactor), b = split_pair(x.z * kFactor, x.w * kFactor);
  union {
    __half2 half2[2];
    uint2 bits;
  } hi = {{a.hi, b.hi}}, lo = {{a.lo, b.lo}};
  char* to = map + row * split_row_bytes(kNoisePadded);
  *reinterpret_cast<uint2*>(to + hi_byte(false, c)) = hi.bits;
  *reinterpret_cast<uint2*>(to + lo16_byte(c)) = lo.bits;
}

void split_noise(const Chunk& chunk, cudaStream_t stream) {
  const Workspace where(chunk.n);
  split_noise_kernel<<<(32 * chunk.n + 255) / 256, 256, 0, stream>>>(
      chunk.n, chunk.noise, chunk.index, chunk.workspace + where.map[0],
      reinterpret_cast<int*>(chunk.workspace + where.sums), reinterpret_cast<int*>(chunk.workspace + where.next_tile));
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

#endif  // FACEGEN_KERNELS_SPLIT_NETWORK_CUH_
