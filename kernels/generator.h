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

class Generator {
 public:
  virtual ~Generator() = default;
  virtual const char* name() const = 0;     // "simt", "mma", "hopper"
  virtual int chunk_faces() const = 0;      // chunk size that keeps the whole chip busy
  virtual double faces_per_s() const = 0;   // roughly, on this device

  // Device memory that one chunk of up to n faces needs for its feature maps, in bytes. Each slot has its own.
  virtual std::size_t workspace_bytes(int n) const = 0;

  // Folds, reorders and splits the weights on the device. network: net::kNetworkFloats floats in device memory, which
  // may be overwritten once the stream has passed this point.
  virtual void load_network(const float* network, cudaStream_t stream) = 0;

  // Launches every layer on the stream; allocates nothing, never synchronises.
  // noise (n, 100) -> faces (n, 64, 64, 3), n <= chunk_faces(); workspace of workspace_bytes(n), 1 KiB aligned.
  virtual void generate(int n, const float* noise, float* faces, void* workspace, cudaStream_t stream) = 0;
};

// Hand-written kernels for CUDA cores in fp32: any GPU, and the readable reference.  -> kernels/simt_generator.cu
std::unique_ptr<Generator> make_simt_generator(const cudaDeviceProp& device);

#endif  // FACEGEN_KERNELS_GENERATOR_H_
