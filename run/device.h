// What computes faces: a GPU, or all cores of the CPU together. A run (run/run.h) knows nothing else of it.
#ifndef FACEGEN_RUN_DEVICE_H_
#define FACEGEN_RUN_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "run/numa.h"

// Faces that a device has computed by one kind of its kernels.
struct KernelFaces {
  std::string kernels;
  std::int64_t faces;
};

// One device, driven by one host thread. It works on up to slots() chunks of faces at a time: start() begins a chunk in
// a free slot and may return at once, finish() waits for it. Slots are started in turn and finished in the same order.
// Any call may throw Failure (kMachine); the sentence names the device and the call that failed.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // for people: "GPU 0 (NVIDIA H100 80GB HBM3)"
  virtual int speed() const = 0;         // faces/s, roughly (>= 1): how a run is shared out among ranks
  virtual int chunk_faces() const = 0;   // most faces in one chunk, and the size that it likes best
  virtual int slots() const = 0;

  // Floating-point operations a second that the arithmetic it uses could reach, for the profile; 0: unknown.
  virtual double peak_flops() { return 0; }

  // Since it was opened, from the fastest kernels to the most exact, those with no faces too. Empty where a device has
  // one kind only. For between runs: no chunk is under way.
  virtual std::vector<KernelFaces> faces_by_kernel() const { return {}; }

  // The NUMA node that its copies to the host are near to.
  virtual NumaNodes nodes() const { return 0; }

  // Makes the calling thread the one that drives this device. Called first in that thread.
  virtual void attach() {}

  // Takes a network in, network: net::kNetworkFloats floats in host memory, untouched by others until the first
  // finish() that follows returns (it is read by then alone): a device that gets no chunk starts and finishes one of 0
  // faces. No chunk is under way.
  virtual void load_network(const float* network) = 0;

  // noise (n, 100) -> faces (n, 64, 64, 3), both in host memory and untouched by others until finish(slot) returns.
  // n = 0: nothing but the network is taken in.
  virtual void start(int slot, int n, const float* noise, float* faces) = 0;
  virtual void finish(int slot) = 0;
};

using Devices = std::vector<std::unique_ptr<Device>>;

// CPU cores as one device, with so many threads (>= 1).  -> cpu/
std::unique_ptr<Device> open_cpu(int threads);

// ---- GPUs  -> kernels/gpu.cu, or kernels/no_gpu.cpp in a build without CUDA

// How many GPUs this process can see. Never throws; where it is 0, why_not (if given) says in words why.
int count_gpus(std::string* why_not = nullptr);

// A number that is the same for the same physical GPU in every process of its node, and differs between GPUs.
std::int64_t gpu_id(int ordinal);

// The GPU with that ordinal. Throws Failure where this build has no code for it, its memory is short, ...
std::unique_ptr<Device> open_gpu(int ordinal);

// The GPU with that ordinal may be opened while others are, each in a thread of its own.

// Page-locks memory, in whole pages: every GPU reads and writes it at full PCIe speed then. Where no GPU has been opened
// there is nothing to do. False where it cannot be. unpin() before it goes.
bool pin(void* memory, std::size_t bytes);
void unpin(void* memory);

// ---- What was built in, for --version: "CUDA 13.0 (sm_90a)" or "no CUDA"; "OpenMP" or "no OpenMP"
const char* gpu_about();
const char* cpu_about();

#endif  // FACEGEN_RUN_DEVICE_H_
