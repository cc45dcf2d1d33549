// What generators for tensor cores have in common: where a chunk's maps lie, the packed network in device memory, and
// the order of the launches.
#ifndef FACEGEN_KERNELS_SPLIT_NETWORK_CUH_
#define FACEGEN_KERNELS_SPLIT_NETWORK_CUH_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

#include "kernels/cuda_check.h"
#include "kernels/cuda_memory.h"
#include "kernels/split/fold.cuh"
#include "kernels/split/format.cuh"
#include "kernels/split/redo.cuh"
#include "network.h"

namespace {

constexpr std::size_t kAlignment = 1024;  // of every array, bytes

constexpr std::size_t align_up(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

constexpr int map_channels(int layer) { return layer == 0 ? kNoisePadded : net::kTable.layer[layer].C; }

// Lays arrays out one after another, as offsets in bytes.
struct Arena {
  std::size_t end = 0;
  std::size_t take(std::size_t bytes) {
    const std::size_t at = end;
    end = align_up(end + bytes);
    return at;
  }
};

// A chunk's arrays in the workspace, as offsets in bytes.
struct Workspace {
  std::size_t map[net::kLayers];  // map[l]: input of layer l, (H * W, n) rows of C channels
  std::size_t overflowed, next_tile, bytes;

  explicit Workspace(int n) {
    Arena arena;
    for (int layer = 0; layer < net::kLayers; ++layer) {
      const net::Layer& l = net::kTable.layer[layer];
      map[layer] = arena.take(std::size_t(l.H) * l.W * n * split_row_bytes(map_channels(layer)));
    }
    overflowed = arena.take(n * sizeof(int));
    next_tile = arena.take(net::kLayers * sizeof(int));
    bytes = arena.end;
  }
};

// The network, packed layer by layer; the whole as in the file besides, for faces that are computed again.
// eight_layers: bit l is set where layer l has 8-bit corrections.
template <unsigned eight_layers>
class SplitNetwork {
 public:
  static constexpr unsigned kEightLayers = eight_layers;

  // loss: of one addition, as a share of the sum, that packed weights make up for (see kLoss)
  explicit SplitNetwork(float loss) : loss_(loss), memory_(where_.bytes) {
    CUDA_CHECK(cudaMemset(memory_.bytes(), 0, where_.bytes));  // the weights' padding stays zero
  }

  // Rows of packed weights.
  static constexpr int rows(int layer) {
    return layer == 0 ? 16 * 512 : layer == 4 ? 80 : 25 * net::kTable.layer[layer].K;
  }

  char* weights(int layer) const { return memory_.bytes() + where_.weights[layer]; }  // (rows) of C channels
  float2* fold(int layer) const {                                                     // (columns) {scale, shift}
    return reinterpret_cast<float2*>(memory_.bytes() + where_.fold[layer]);
  }
  Channels* channels() const { return reinterpret_cast<Channels*>(memory_.bytes() + where_.channels); }  // maps 1..4
  float* network() const { return reinterpret_cast<float*>(memory_.bytes() + where_.network); }
  int* unsafe() const { return reinterpret_cast<int*>(memory_.bytes() + where_.unsafe); }  // 1: not for fp16

  void load_layer(int layer, const float* network, cudaStream_t stream) {
    if (layer == 0) CUDA_CHECK(cudaMemsetAsync(unsafe(), 0, sizeof(int), stream));
    if (layer == 0) {
      fold_proj<<<net::kProj.K / kFoldProjChannels, 16 * kFoldProjChannels, 0, stream>>>(network, weights(0), fold(0),
                                                                                         channels(), unsafe(), loss_);
      CUDA_CHECK(cudaGetLastError());
    }
    if (layer == 1) fold_layer<1>(network, stream);
    if (layer == 2) fold_layer<2>(network, stream);
    if (layer == 3) fold_layer<3>(network, stream);
    if (layer == 4) {
      fold_layer<4>(network, stream);
      // Last, when no layer waits for it: only faces that are computed again read it.
      CUDA_CHECK(cudaMemcpyAsync(this->network(), network, net::kNetworkBytes, cudaMemcpyDeviceToDevice, stream));
    }
  }

 private:
  template <int layer>
  void fold_layer(const float* network, cudaStream_t stream) {
    Channels* in = channels() + layer - 1;
    fold_tconv<layer, in_8_bits(eight_layers, layer)><<<net::kTable.layer[layer].K, 32 * kFoldWarps, 0, stream>>>(
        network, in, weights(layer), fold(layer), layer == 4 ? nullptr : in + 1, unsafe(), loss_);
    CUDA_CHECK(cudaGetLastError());
  }

  // Offsets in bytes.
  struct Memory {
    std::size_t weights[net::kLayers], fold[net::kLayers], channels, network, unsafe, bytes;

    Memory() {
      Arena arena;
      for (int layer = 0; layer < net::kLayers; ++layer) {
        weights[layer] = arena.take(rows(layer) * split_row_bytes(map_channels(layer)));
        fold[layer] = arena.take((layer == 0 ? 16 * 512 : 256) * sizeof(float2));
      }
      channels = arena.take(4 * sizeof(Channels));
      network = arena.take(net::kNetworkBytes);
      unsafe = arena.take(sizeof(int));
      bytes = arena.end;
    }
  };

  const float loss_;
  const Memory where_;
  const DeviceMemory memory_;
};

template <class Task>
void allow_shared(void (*kernel)(Task), int bytes) {
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
}

// Generator::generate for a generator that has split_ and multiprocessors_, and whose layers are launched by
//   launch_product<layer>(n, workspace, where, loaded, stream)         proj, tconv1..3
//   launch_image(n, workspace, where, faces, loaded, stream)           tconv4
template <class SplitGenerator>
void generate_split(SplitGenerator& generator, int n, const float* noise, float* faces, void* workspace,
                    const cudaEvent_t* loaded, cudaStream_t stream) {
  const Workspace where(n);
  char* base = static_cast<char*>(workspace);
  int* overflowed = reinterpret_cast<int*>(base + where.overflowed);
  int* next_tile = reinterpret_cast<int*>(base + where.next_tile);
  split_noise<<<(32 * n + 255) / 256, 256, 0, stream>>>(n, noise, base + where.map[0], overflowed, next_tile);
  CUDA_CHECK(cudaGetLastError());
  generator.template launch_product<0>(n, base, where, loaded, stream);
  generator.template launch_product<1>(n, base, where, loaded, stream);
  generator.template launch_product<2>(n, base, where, loaded, stream);
  generator.template launch_product<3>(n, base, where, loaded, stream);
  generator.launch_image(n, base, where, faces, loaded, stream);
  redo_kernel<<<std::min(n, generator.multiprocessors_), 512, 0, stream>>>(
      n, noise, generator.split_.network(), overflowed, generator.split_.unsafe(), static_cast<float*>(workspace),
      kRedoFloats, faces);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace

#endif  // FACEGEN_KERNELS_SPLIT_NETWORK_CUH_
