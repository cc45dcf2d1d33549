// How fast faces could leave the GPUs of this machine: copies to page-locked host memory, each GPU alone and all
// together, with the memory where one rank that drives them all would lay it: pages in turn on the nodes of all GPUs, each
// GPU's thread near it.
//
// Usage: copy_rates
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/bench.h"
#include "kernels/cuda_memory.h"
#include "run/host_memory.h"
#include "run/numa.h"

namespace {

constexpr std::size_t kBytes = std::size_t(256) << 20;  // a copy
constexpr int kCopies = 20, kRounds = 3;                // the best round counts: what the machine can do

struct GpuFacts {
  std::string name, bus_id;
  NumaPlace place;
};

std::vector<GpuFacts> find_gpus() {
  int count = 0;
  CUDA_CHECK(cudaGetDeviceCount(&count));
  std::vector<GpuFacts> gpus;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    char bus_id[32];
    CUDA_CHECK(cudaGetDeviceProperties(&properties, i));
    CUDA_CHECK(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, i));
    gpus.push_back({properties.name, bus_id, numa_place(bus_id)});
  }
  return gpus;
}

// One GPU's source, target and stream.
class Copier {
 public:
  Copier(int ordinal, const NumaPlace& place, NumaNodes nodes)
      : ordinal_(ordinal), place_(place), target_(HostMemory::make(kBytes, nodes, false)) {
    if (!target_) throw Failure(kMachine, "no 256 MiB of host memory are to be had");
    CUDA_CHECK(cudaSetDevice(ordinal));
    source_ = std::make_unique<DeviceMemory>(kBytes);
    stream_ = std::make_unique<Stream>();
    CUDA_CHECK(cudaMemset(source_->bytes(), 1, kBytes));
    CUDA_CHECK(cudaHostRegister(target_->data(), kBytes, cudaHostRegisterPortable));
  }
  ~Copier() {
    cudaSetDevice(ordinal_);
    cudaHostUnregister(target_->data());
  }
  Copier(const Copier&) = delete;
  Copier& operator=(const Copier&) = delete;

  void attach() {
    run_at(place_);
    CUDA_CHECK(cudaSetDevice(ordinal_));
  }
  void copy(int times) {
    for (int i = 0; i < times; ++i) {
      CUDA_CHECK(cudaMemcpyAsync(target_->data(), source_->bytes(), kBytes, cudaMemcpyDeviceToHost, *stream_));
    }
    stream_->synchronize();
  }

 private:
  const int ordinal_;
  const NumaPlace place_;
  const std::unique_ptr<HostMemory> target_;
  std::unique_ptr<DeviceMemory> source_;
  std::unique_ptr<Stream> stream_;
};

// Bytes a second of these GPUs at once, a thread each, started together.
double copy_rate(const std::vector<Copier*>& copiers) {
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<std::size_t> ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (Copier* copier : copiers) {
      threads.emplace_back([&, copier] {
        copier->attach();
        copier->copy(1);
        ++ready;
        while (!go) std::this_thread::yield();
        copier->copy(kCopies);
      });
    }
    while (ready < copiers.size()) std::this_thread::yield();
    const double start = now();
    go = true;
    for (std::thread& thread : threads) thread.join();
    best = std::max(best, double(copiers.size()) * kCopies * kBytes / (now() - start));
  }
  return best;
}

int measure() {
  const std::vector<GpuFacts> gpus = find_gpus();
  NumaNodes all_nodes = 0;
  for (const GpuFacts& gpu : gpus) {
    all_nodes |= nodes_of(gpu.place);
    Row("gpus").set("name", gpu.name).set("bus_id", gpu.bus_id).set("numa_node", gpu.place.node);
  }
  std::vector<std::unique_ptr<Copier>> copiers;
  std::vector<Copier*> all;
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    copiers.push_back(std::make_unique<Copier>(int(i), gpus[i].place, all_nodes));
    all.push_back(copiers.back().get());
  }
  std::vector<double> alone;
  for (Copier* copier : all) alone.push_back(copy_rate({copier}));
  Row("to_host").set("placement", "spread").set("alone_bytes_per_s", alone).set("together_bytes_per_s", copy_rate(all));
  return kDone;
}

}  // namespace

int main() { return guarded_main("copy_rates", measure); }
