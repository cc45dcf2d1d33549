// What a device owns, each given back when its owner goes: device memory, page-locked host memory, streams, events; and
// how one piece of memory is laid out.
#ifndef FACEGEN_KERNELS_CUDA_MEMORY_H_
#define FACEGEN_KERNELS_CUDA_MEMORY_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "kernels/cuda_check.h"

// Lays arrays out one after another, as offsets in bytes, each aligned for every kind of access.
struct Arena {
  std::size_t end = 0;
  constexpr std::size_t take(std::size_t bytes) {
    constexpr std::size_t kAlignment = 1024;
    const std::size_t at = end;
    end = (end + bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
};

// Memory on the current GPU. Where it is short, the Failure says how much is needed and how much is free.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) {
    const cudaError_t error = cudaMalloc(&memory_, bytes);
    if (error == cudaErrorMemoryAllocation) throw_short(bytes);
    CUDA_CHECK(error);
  }
  ~DeviceMemory() { cudaFree(memory_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  char* bytes() const { return static_cast<char*>(memory_); }
  float* floats() const { return static_cast<float*>(memory_); }

  [[noreturn]] static void throw_short(std::size_t needed) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    const auto mib = [](std::size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; };
    throw Failure(kMachine, current_gpu() + " is out of memory: " + mib(needed) + " needed, " + mib(free) + " of its " +
                                mib(total) + " free; end what else runs on it, or choose other devices");
  }

 private:
  void* memory_ = nullptr;
};

// Host memory that every GPU copies to and from at full speed, and that kernels write by the same address.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::size_t bytes) { CUDA_CHECK(cudaHostAlloc(&memory_, bytes, cudaHostAllocPortable)); }
  ~PinnedMemory() { cudaFreeHost(memory_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  char* bytes() const { return static_cast<char*>(memory_); }
  float* floats() const { return static_cast<float*>(memory_); }

 private:
  void* memory_ = nullptr;
};

class Stream {
 public:
  Stream() { CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

  // What is launched from now on starts when the event has passed.
  void wait(cudaEvent_t event) { CUDA_CHECK(cudaStreamWaitEvent(stream_, event, 0)); }
  void synchronize() { CUDA_CHECK(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

  void record(cudaStream_t stream) { CUDA_CHECK(cudaEventRecord(event_, stream)); }
  void synchronize() { CUDA_CHECK(cudaEventSynchronize(event_)); }

 private:
  cudaEvent_t event_ = nullptr;
};

#endif  // FACEGEN_KERNELS_CUDA_MEMORY_H_
