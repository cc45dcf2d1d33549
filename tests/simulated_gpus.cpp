// The GPU side of run/device.h without GPUs: FACEGEN_SIMULATED_GPUS of them, for the whole program linked with this
// file in place of kernels/. Everything around the arithmetic is the product's own: which rank drives which GPU,
// chunks, shared arrays, messages, the end of a run when a GPU is lost.
//
// A simulated GPU takes FACEGEN_SIMULATED_CHUNK faces (default 256) at a time, spends FACEGEN_SIMULATED_US microseconds
// (default 0) on each, beside the others, and makes it from its noise and the network: value i is noise[i % 100] +
// network[i % 1000], copied out once as by a real GPU. It says that it makes FACEGEN_SIMULATED_SPEED (default 1000) a
// second. FACEGEN_SIMULATED_BUSY names those that cannot be opened ("1 3").
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/failure.h"
#include "network.h"
#include "run/device.h"
#include "run/fault.h"

namespace {

int from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

class SimulatedGpu : public Device {
 public:
  explicit SimulatedGpu(int ordinal)
      : ordinal_(ordinal),
        chunk_faces_(from_environment("FACEGEN_SIMULATED_CHUNK", 256)),
        us_per_face_(from_environment("FACEGEN_SIMULATED_US", 0)),
        failing_chunk_(chunk_that_fails(ordinal)),
        face_(net::kFaceFloats) {}

  std::string name() const override { return "GPU " + std::to_string(ordinal_) + " (simulated)"; }
  int speed() const override { return from_environment("FACEGEN_SIMULATED_SPEED", 1000); }
  int chunk_faces() const override { return chunk_faces_; }
  int slots() const override { return kSlots; }

  void load_network(const float* network) override { bias_.assign(network, network + kBias); }

  void start(int slot, int n, const float* noise, float* faces) override {
    slots_[slot] = {n, noise, faces, ++chunks_ == failing_chunk_};
  }

  void finish(int slot) override {
    const Chunk& chunk = slots_[slot];
    std::this_thread::sleep_for(std::chrono::microseconds(std::int64_t(us_per_face_) * chunk.n));
    if (chunk.fails)
      throw Failure(kMachine, "the simulated " + name() + " was lost in chunk " + std::to_string(failing_chunk_));
    for (int n = 0; n < chunk.n; ++n) {
      const float* noise = chunk.noise + std::size_t(n) * net::kNoise;
      for (int first = 0; first < net::kFaceFloats; first += net::kNoise) {
        const int count = std::min(net::kNoise, net::kFaceFloats - first);
        for (int i = 0; i < count; ++i) face_[first + i] = noise[i] + bias_[first % kBias + i];
      }
      std::memcpy(chunk.faces + std::size_t(n) * net::kFaceFloats, face_.data(), net::kFaceFloats * sizeof(float));
    }
  }

 private:
  static constexpr int kSlots = 4, kBias = 1000;
  struct Chunk {
    int n;
    const float* noise;
    float* faces;
    bool fails;
  };
  const int ordinal_, chunk_faces_, us_per_face_, failing_chunk_;
  int chunks_ = 0;
  Chunk slots_[kSlots] = {};
  std::vector<float> bias_, face_;
};

}  // namespace

int count_gpus(std::string* why_not) {
  const int count = from_environment("FACEGEN_SIMULATED_GPUS", 0);
  if (count == 0 && why_not) *why_not = "FACEGEN_SIMULATED_GPUS is not set";
  return count;
}

std::int64_t gpu_id(int ordinal) { return 1000 + ordinal; }

std::unique_ptr<Device> open_gpu(int ordinal) {
  std::istringstream busy(std::getenv("FACEGEN_SIMULATED_BUSY") ? std::getenv("FACEGEN_SIMULATED_BUSY") : "");
  for (int other; busy >> other;) {
    if (other == ordinal) throw Failure(kMachine, "GPU " + std::to_string(ordinal) + " (simulated) is busy");
  }
  return std::make_unique<SimulatedGpu>(ordinal);
}

bool pin(void*, std::size_t) { return true; }
void unpin(void*) {}

const char* gpu_about() { return "simulated GPUs"; }
