// How fast faces could leave the GPUs of this machine: copies to page-locked host memory, each GPU alone and all
// together, with the memory where the product would lay it and where it would fall by itself; and beside them how fast
// all cores together copy host memory.
//
// Usage: copy_rates
//
// placements   near    each GPU's memory on its own NUMA node, its thread there too: one rank a GPU
//              spread  pages in turn on the nodes of all GPUs, threads near their GPUs: one rank that drives them all
//              plain   page-locked by CUDA, from one thread, without a word of where
// Where the system tells of one node, or of none, all three are the same.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cstring>
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
  Copier(int ordinal, const NumaPlace& place, NumaNodes nodes, bool plain)
      : ordinal_(ordinal), place_(plain ? NumaPlace() : place) {
    CUDA_CHECK(cudaSetDevice(ordinal));
    source_ = std::make_unique<DeviceMemory>(kBytes);
    stream_ = std::make_unique<Stream>();
    CUDA_CHECK(cudaMemset(source_->bytes(), 1, kBytes));
    if (plain) {
      plain_ = std::make_unique<PinnedMemory>(kBytes);
      target_ = plain_->floats();
      return;
    }
    placed_ = HostMemory::make(kBytes, nodes, false);
    if (!placed_) throw Failure(kMachine, "no 256 MiB of host memory are to be had");
    target_ = placed_->data();
    CUDA_CHECK(cudaHostRegister(target_, kBytes, cudaHostRegisterPortable));
  }
  ~Copier() {
    cudaSetDevice(ordinal_);
    if (placed_) cudaHostUnregister(target_);
  }
  Copier(const Copier&) = delete;
  Copier& operator=(const Copier&) = delete;

  void attach() {
    run_at(place_);
    CUDA_CHECK(cudaSetDevice(ordinal_));
  }
  void copy(int times) {
    for (int i = 0; i < times; ++i) {
      CUDA_CHECK(cudaMemcpyAsync(target_, source_->bytes(), kBytes, cudaMemcpyDeviceToHost, *stream_));
    }
    stream_->synchronize();
  }

 private:
  const int ordinal_;
  const NumaPlace place_;
  std::unique_ptr<DeviceMemory> source_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<PinnedMemory> plain_;
  std::unique_ptr<HostMemory> placed_;
  void* target_ = nullptr;
};

// Runs work(i) for i < count, a thread each, started together; seconds until the last is done. Each begins with
// prepare(i).
template <typename Prepare, typename Work>
double together(int count, Prepare prepare, Work work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      prepare(i);
      ++ready;
      while (!go) std::this_thread::yield();
      work(i);
    });
  }
  while (ready < count) std::this_thread::yield();
  const double start = now();
  go = true;
  for (auto& thread : threads) thread.join();
  return now() - start;
}

// Bytes a second of these GPUs at once.
double copy_rate(const std::vector<Copier*>& copiers) {
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = together(
        int(copiers.size()),
        [&](int i) {
          copiers[i]->attach();
          copiers[i]->copy(1);
        },
        [&](int i) { copiers[i]->copy(kCopies); });
    best = std::max(best, double(copiers.size()) * kCopies * kBytes / seconds);
  }
  return best;
}

// All cores copy host memory, each its own: bytes read and written a second, by the best of a few rounds.
double host_copy_rate() {
  const int threads = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t bytes = (std::size_t(1) << 30) / threads;
  std::vector<std::unique_ptr<char[]>> from(threads), to(threads);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const double seconds = together(
        threads,
        [&](int i) {
          if (round > 0) return;
          from[i].reset(new char[bytes]);
          to[i].reset(new char[bytes]);
          std::memset(from[i].get(), 1, bytes);  // touched first by the thread that uses it
          std::memset(to[i].get(), 2, bytes);
        },
        [&](int i) { std::memcpy(to[i].get(), from[i].get(), bytes); });
    best = std::max(best, 2.0 * threads * bytes / seconds);
  }
  return best;
}

int measure() {
  const std::vector<GpuFacts> gpus = find_gpus();
  NumaNodes all_nodes = 0;
  Row().set("host_copy_bytes_per_s", host_copy_rate());
  for (const GpuFacts& gpu : gpus) {
    all_nodes |= nodes_of(gpu.place);
    Row("gpus").set("name", gpu.name).set("bus_id", gpu.bus_id).set("numa_node", gpu.place.node);
  }
  for (const std::string placement : {"near", "spread", "plain"}) {
    std::vector<std::unique_ptr<Copier>> copiers;
    std::vector<Copier*> all;
    for (std::size_t i = 0; i < gpus.size(); ++i) {
      const NumaNodes nodes = placement == "near" ? nodes_of(gpus[i].place) : all_nodes;
      copiers.push_back(std::make_unique<Copier>(int(i), gpus[i].place, nodes, placement == "plain"));
      all.push_back(copiers.back().get());
    }
    std::vector<double> alone;
    for (Copier* copier : all) alone.push_back(copy_rate({copier}));
    Row("to_host")
        .set("placement", placement)
        .set("alone_bytes_per_s", alone)
        .set("together_bytes_per_s", copy_rate(all));
  }
  return kDone;
}

}  // namespace

int main() { return guarded_main("copy_rates", measure); }
