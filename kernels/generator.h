// One way to compute the whole network on one GPU: noise in device memory -> faces in device memory.
//
// kernels/gpu.cu owns streams, chunks and copies; a Generator owns the packed weights and launches the layers. There is
// one implementation for every kind of GPU (see make_generator), and all of them give the same bytes for a face
// whatever chunk it comes in.
#ifndef FACEGEN_KERNELS_GENERATOR_H_
#define FACEGEN_KERNELS_GENERATOR_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>

#include "network.h"

class Generator {
 public:
  virtual ~Generator() = default;
  virtual const char* name() const = 0;    // "simt", "mma", "hopper", "hopper8"
  virtual int chunk_faces() const = 0;     // chunk size that keeps the whole chip busy
  virtual double faces_per_s() const = 0;  // roughly, on this device
  // Floating-point operations a second of the units that it computes on, by the data sheet or measured; 0: unknown.
  virtual double peak_flops() const { return 0; }
  // Whether it is worth choosing on this device; it is taken then, unless another one is asked for by name.
  virtual bool pays() const { return true; }

  // Device memory that one chunk of up to n faces needs for its feature maps, in bytes: all that generate() writes
  // besides faces, as another chunk may be under way at the same time, with another workspace. Where a chunk follows
  // another on the same stream, both have the same workspace.
  virtual std::size_t workspace_bytes(int n) const = 0;

  // Folds, reorders and splits one layer's weights on the device; called for layer 0, 1, ... 4 as they arrive from the
  // host, on a stream of its own. network: net::kNetworkFloats floats in device memory, of which those of layers 0 to
  // `layer` are there when the stream gets to this point; they may be overwritten once it has passed the last layer.
  virtual void load_layer(int layer, const float* network, cudaStream_t stream) = 0;

  // Launches every layer on the stream; allocates nothing, never synchronises.
  // noise (n, 100) -> faces (n, 64, 64, 3), n <= chunk_faces(); workspace of workspace_bytes(n), 1 KiB aligned.
  // loaded: an event a layer that follows its load_layer, each to be awaited before the first launch that reads what
  // load_layer wrote (see await_layer); nullptr where all of them have passed.
  virtual void generate(int n, const float* noise, float* faces, void* workspace, const cudaEvent_t* loaded,
                        cudaStream_t stream) = 0;
};

// Makes the stream wait until the layer's weights are packed: the first chunk's proj runs while tconv1's weights, the
// largest, are still on their way.
void await_layer(int layer, const cudaEvent_t* loaded, cudaStream_t stream);

// Each maker returns nullptr where this GPU cannot run its kernels, or this build has no code of them for it. A
// generator belongs to the GPU that is current, and takes the device memory of its packed weights when it is made.

// Hand-written kernels for CUDA cores in fp32: any GPU, and the readable reference.  -> kernels/fp32/generator.cu
std::unique_ptr<Generator> make_simt_generator(const cudaDeviceProp& device);

// Tensor cores of compute capability 8.0 and later (mma.sync), fp32-class accuracy.  -> kernels/mma/generator.cu
std::unique_ptr<Generator> make_mma_generator(const cudaDeviceProp& device);

// Hopper tensor cores (wgmma, bulk copies), fp32-class accuracy: H100, H200.  -> kernels/hopper/generator.cu
std::unique_ptr<Generator> make_hopper_generator(const cudaDeviceProp& device);

// The same, faster by a seventh and with twice the worst error (3.3e-4 over 65,536 faces, a third of what
// compare_result allows); taken only where FACEGEN_KERNELS asks for it.
std::unique_ptr<Generator> make_hopper8_generator(const cudaDeviceProp& device);

#endif  // FACEGEN_KERNELS_GENERATOR_H_
