// One kind of kernels for the whole network on one GPU: noise in device memory -> faces in device memory.
//
// kernels/gpu.cu owns streams, chunks and copies, and decides which faces go to which kind; a Generator owns its packed
// weights and launches the layers. Whatever chunk a face comes in, one kind gives it the same bytes.
#ifndef FACEGEN_KERNELS_GENERATOR_H_
#define FACEGEN_KERNELS_GENERATOR_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>

#include "kernels/cuda_check.h"
#include "network.h"

// Faces that are computed together.
struct Chunk {
  int n;
  const float* noise;   // (any number, 100), on the GPU
  const int* index;     // (n) where in noise and faces they lie, on the GPU; nullptr: they are the first n
  float* faces;         // (any number, 64, 64, 3), on the GPU
  char* workspace;      // workspace_bytes(n) on the GPU, 1 KiB aligned
  volatile int* unfit;  // (n) page-locked host memory: set to 1 for a face that these kernels cannot answer for
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual int chunk_faces() const = 0;     // chunk size that keeps the whole chip busy
  virtual double faces_per_s() const = 0;  // roughly, on this device
  // Floating-point operations a second of the units that it computes on, by the data sheet.
  virtual double peak_flops() const = 0;

  // Device memory that a chunk of up to n faces needs for its feature maps, in bytes: all that is written besides
  // faces, as another chunk may be under way at the same time, with another workspace. Where a chunk follows another on
  // the same stream, both have the same workspace.
  virtual std::size_t workspace_bytes(int n) const = 0;

  // Packs one layer's parameters on the device (folds, reorders, splits); called for layer 0, 1, ... 4, all on one
  // stream. network: net::kNetworkFloats floats in device memory, of which those of layers 0 to `layer` are there when
  // the stream gets to this point. unfit: page-locked host memory, set to 1 where these kernels cannot answer for the
  // network.
  virtual void load_layer(int layer, const float* network, volatile int* unfit, cudaStream_t stream) = 0;

  // Launches one layer, 0 to 4, of the chunk; allocates nothing, never synchronises. n <= chunk_faces().
  virtual void launch_layer(int layer, const Chunk& chunk, cudaStream_t stream) = 0;

  // All layers. loaded: an event a layer that follows its load_layer; nullptr where all of them have passed. So the
  // first chunk's proj runs while tconv1's weights, the largest, are still on their way.
  void generate(const Chunk& chunk, const cudaEvent_t* loaded, cudaStream_t stream) {
    for (int layer = 0; layer < net::kLayers; ++layer) {
      if (loaded) CUDA_CHECK(cudaStreamWaitEvent(stream, loaded[layer], 0));
      launch_layer(layer, chunk, stream);
    }
  }
};

// Each maker returns nullptr where this GPU cannot run its kernels, or this build has no code of them for it. A
// generator belongs to the GPU that is current, and takes the device memory of its packed weights when it is made.

// Hopper tensor cores (wgmma, bulk copies): H100, H200.  -> kernels/hopper/generator.cu
// fast: tconv1, 2 and 3 take their corrections in 8 bits; accurate: tconv1 alone.
std::unique_ptr<Generator> make_fast_generator(const cudaDeviceProp& device);
std::unique_ptr<Generator> make_accurate_generator(const cudaDeviceProp& device);

// Tensor cores of compute capability 8.0 and later (mma.sync), as exact as fp32 sums are.  -> kernels/mma/generator.cu
std::unique_ptr<Generator> make_precise_generator(const cudaDeviceProp& device);

// CUDA cores in fp32: any GPU, any network, any noise, and the readable reference.  -> kernels/fp32/generator.cu
std::unique_ptr<Generator> make_exact_generator(const cudaDeviceProp& device);

#endif  // FACEGEN_KERNELS_GENERATOR_H_
