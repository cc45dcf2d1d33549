// Speed of the CPU backend against what the cores can do.
//
//   bench_cpu [--network FILE] [--threads T] [--repeats R]
//
// For every instruction set that this CPU has: faces/s for several N and for 1 to T threads, as a share of the peak of as
// many threads (independent multiply-adds in registers), and one thread's time layer by layer. The peak is measured anew
// beside every run: each thread counts with its fastest burst of 1 to 3 ms, so it is what the cores could do undisturbed.
// Best and median of R repeats; a disturbed machine shows in the gap between them.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "bench/bench.h"
#include "cpu/cpu_device.h"
#include "cpu/kernels.h"
#include "io/readers.h"
#include "network.h"
#include "run/device.h"

namespace {

// ---- The peak: 14 chains of multiply-adds, more than any FMA unit's latency asks for

constexpr int kChains = 14;
constexpr long kSteps = 500000;
constexpr int kBursts = 20;

template <class Vec>
float chains_plain() {
  Vec sum[kChains], factor = Vec{} + 0.9f, term = Vec{} + 0.5f;
  _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = Vec{} + float(i);
  for (long step = 0; step < kSteps; ++step) {
    _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * factor + term;
  }
  _Pragma("GCC unroll 14") for (int i = 1; i < kChains; ++i) sum[0] += sum[i];
  return sum[0][0];
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) float chains_avx2() {
  __m256 sum[kChains];
  const __m256 factor = _mm256_set1_ps(0.9f), term = _mm256_set1_ps(0.5f);
  _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm256_set1_ps(float(i));
  for (long step = 0; step < kSteps; ++step) {
    _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm256_fmadd_ps(sum[i], factor, term);
  }
  _Pragma("GCC unroll 14") for (int i = 1; i < kChains; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) float chains_avx512() {
  __m512 sum[kChains];
  const __m512 factor = _mm512_set1_ps(0.9f), term = _mm512_set1_ps(0.5f);
  _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(float(i));
  for (long step = 0; step < kSteps; ++step) {
    _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm512_fmadd_ps(sum[i], factor, term);
  }
  _Pragma("GCC unroll 14") for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return _mm512_cvtss_f32(sum[0]);
}
#endif

struct InstructionSet {
  std::string name;
  const Kernels* kernels;
  float (*chains)();
  double flop;  // of one call of chains
};

std::vector<InstructionSet> instruction_sets() {
  typedef float Plain __attribute__((vector_size(16)));
  const auto flop = [](int lanes) { return 2.0 * lanes * kChains * kSteps; };
  std::vector<InstructionSet> sets;
  for (const Kernels* kernels : runnable_kernels()) {
    const std::string name = kernels->name;
#ifdef __x86_64__
    if (name == "avx512") sets.push_back({name, kernels, chains_avx512, flop(16)});
    if (name == "avx2") sets.push_back({name, kernels, chains_avx2, flop(8)});
#endif
    if (name == "plain") sets.push_back({name, kernels, chains_plain<Plain>, flop(4)});
  }
  return sets;
}

// FLOP/s of all threads together.
double peak(const InstructionSet& set, int threads) {
  std::vector<double> fastest(threads, 1e9);
  std::atomic<int> ready{0};
  const auto run = [&](int thread) {
    for (++ready; ready < threads;) std::this_thread::yield();
    volatile float sums = 0;  // what is computed must look needed
    for (int burst = 0; burst < kBursts; ++burst) {
      fastest[thread] = std::min(fastest[thread], seconds_of([&] { sums = set.chains(); }));
    }
  };
  std::vector<std::thread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back(run, t);
  run(0);
  for (std::thread& thread : team) thread.join();
  double sum = 0;
  for (const double seconds : fastest) sum += set.flop / seconds;
  return sum;
}

// ---- The work

std::vector<float> random_noise(int n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> noise(std::size_t(n) * net::kNoise);
  for (float& value : noise) value = normal(random);
  return noise;
}

void generate(Device& device, int n, const float* noise, float* faces) {
  const int chunk = device.chunk_faces();
  for (int first = 0; first < n; first += chunk) {
    device.start(0, std::min(chunk, n - first), noise + std::size_t(first) * net::kNoise,
                 faces + std::size_t(first) * net::kFaceFloats);
    device.finish(0);
  }
}

// Every N on one device, repeats from small to large N and round again, so that a disturbance hits all alike.
void measure(const InstructionSet& set, int threads, const std::vector<int>& sizes, int repeats,
             const std::vector<float>& network) {
  const auto device = open_cpu(*set.kernels, threads);
  device->attach();
  device->load_network(network.data());

  const int largest = *std::max_element(sizes.begin(), sizes.end());
  const std::vector<float> noise = random_noise(largest);
  std::vector<float> faces(std::size_t(largest) * net::kFaceFloats);
  generate(*device, std::min(largest, device->chunk_faces()), noise.data(), faces.data());

  std::vector<std::vector<double>> seconds(sizes.size());
  double top = 0;  // the highest peak beside any size
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      top = std::max(top, peak(set, threads));
      const int times = std::max(1, 64 / sizes[i]);  // of a run too short to time alone
      seconds[i].push_back(seconds_of([&] {
                             for (int t = 0; t < times; ++t) generate(*device, sizes[i], noise.data(), faces.data());
                           }) /
                           times);
    }
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const double flop = 2 * net::multiply_adds() * sizes[i];
    Row("runs")
        .set("isa", set.name)
        .set("threads", threads)
        .set("faces", sizes[i])
        .set("faces_per_s_best", sizes[i] / best(seconds[i]))
        .set("faces_per_s_median", sizes[i] / median(seconds[i]))
        .set("share_of_peak_best", flop / best(seconds[i]) / top)
        .set("share_of_peak_median", flop / median(seconds[i]) / top)
        .set("seconds", seconds[i]);
  }
}

double cpu_seconds() {  // of all threads of this process
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

// One tile in one thread, layer by layer, CPU seconds.
void measure_layers(const InstructionSet& set, int tile_faces, int repeats, const std::vector<float>& network) {
  const Kernels& k = *set.kernels;
  const std::size_t floats = packed_floats() + tile_floats(k);
  std::unique_ptr<float[], decltype(&std::free)> memory(
      static_cast<float*>(std::aligned_alloc(4096, (floats * sizeof(float) / 4096 + 1) * 4096)), std::free);
  std::fill_n(memory.get(), floats, 0.0f);
  PackedLayer layer[net::kLayers];
  pack_network(network.data(), k, 1, memory.get(), layer);

  const std::vector<float> noise = random_noise(tile_faces);
  std::vector<float> faces(std::size_t(tile_faces) * net::kFaceFloats);
  const Tile tile = make_tile(tile_faces, noise.data(), memory.get() + packed_floats(), faces.data());
  for (int m = 0; m < kMaps - 1; ++m) clear_border(tile, m);

  const double at_most = peak(set, 1);
  for (int i = 0; i < net::kLayers; ++i) {
    const net::Layer& l = net::kTable.layer[i];
    std::vector<double> seconds;
    for (int repeat = 0; repeat < repeats + 1; ++repeat) {
      const double start = cpu_seconds();
      if (i == 0) {
        for (int p = 0; p < l.out_H * l.out_W * l.K / k.columns; ++p) k.proj(layer[0], tile, p);
      } else if (l.batch_norm) {
        for (int phase = 3; phase >= 0; --phase) {
          for (int p = 0; p < l.K / k.columns; ++p) k.tconv[i](layer[i], tile, phase, p, 0, l.H);
        }
      } else {
        k.tconv4(layer[i], tile, 0, l.H);
      }
      seconds.push_back((cpu_seconds() - start) / tile_faces);
    }
    const double rate = 2 * net::multiply_adds(l) / best(seconds);
    Row("layers_one_thread")
        .set("isa", set.name)
        .set("layer", l.name)
        .set("tile_faces", tile_faces)
        .set("cpu_seconds_a_face", best(seconds))
        .set("gflop_per_s", rate * 1e-9)
        .set("share_of_peak", rate / at_most);
  }
}

int run(const Arguments& given) {
  const int threads = std::max(1, std::atoi(given.at("threads").c_str()));
  const int repeats = std::max(1, std::atoi(given.at("repeats").c_str()));
  const std::vector<float> network = read_network(given.at("network"));
  for (const InstructionSet& set : instruction_sets()) {
    const bool plain = set.name == "plain";
    measure(set, threads, {1, 10, 100, 1024}, plain ? 1 : repeats, network);
    for (int t = 1; t < threads && !plain; t *= 2) measure(set, t, {1024}, repeats, network);
    for (const int tile_faces : {set.kernels->tile_faces / 2, set.kernels->tile_faces}) {
      measure_layers(set, tile_faces, repeats, network);
    }
  }
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  return guarded_main("bench_cpu", [&] {
    const std::string threads = std::to_string(std::max(1u, std::thread::hardware_concurrency()));
    return run(parse(argc, argv, {{"network", "network.bin"}, {"threads", threads}, {"repeats", "7"}}));
  });
}
