// Speed of the CPU backend against what the cores can do.
//
//   bench_cpu [--network FILE] [--threads T] [--repeats R] [--json FILE]
//
// For every instruction set that this CPU has: the FMA peak of T threads (independent multiply-adds in registers),
// faces per second for N = 1 ... 1,024 as a share of that peak, one thread's time layer by layer, and N = 1,024 on 1
// ... T threads. The peak is measured anew beside every run. Best and median of R repeats; a disturbed machine shows in
// the gap between them, and in the share of the peak by CPU seconds, which counts only time spent running.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "cpu/kernels.h"
#include "cpu/pack.h"
#include "network.h"
#include "runtime/device.h"

namespace {

// ---- Time

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {  // of all threads of this process
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double best(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

// ---- The peak: 14 chains of multiply-adds, more than any FMA unit's latency asks for

constexpr int kChains = 14;
constexpr long kSteps = 500000;
constexpr int kBursts = 20;
volatile float sink;

template <class Vec>
void chains_plain() {
  Vec sum[kChains], factor = Vec{} + 0.9f, term = Vec{} + 0.5f;
  _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = Vec{} + float(i);
  for (long step = 0; step < kSteps; ++step) {
    _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * factor + term;
  }
  _Pragma("GCC unroll 14") for (int i = 1; i < kChains; ++i) sum[0] += sum[i];
  sink = sum[0][0];
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) void chains_avx2() {
  __m256 sum[kChains];
  const __m256 factor = _mm256_set1_ps(0.9f), term = _mm256_set1_ps(0.5f);
  _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm256_set1_ps(float(i));
  for (long step = 0; step < kSteps; ++step) {
    _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm256_fmadd_ps(sum[i], factor, term);
  }
  _Pragma("GCC unroll 14") for (int i = 1; i < kChains; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  sink = _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) void chains_avx512() {
  __m512 sum[kChains];
  const __m512 factor = _mm512_set1_ps(0.9f), term = _mm512_set1_ps(0.5f);
  _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(float(i));
  for (long step = 0; step < kSteps; ++step) {
    _Pragma("GCC unroll 14") for (int i = 0; i < kChains; ++i) sum[i] = _mm512_fmadd_ps(sum[i], factor, term);
  }
  _Pragma("GCC unroll 14") for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  sink = _mm512_cvtss_f32(sum[0]);
}
#endif

struct InstructionSet {
  std::string name;
  int lanes;
  void (*chains)();
  const Kernels* kernels;
};

std::vector<InstructionSet> instruction_sets() {
  typedef float Plain __attribute__((vector_size(16)));
  std::vector<InstructionSet> sets = {{"plain", 4, chains_plain<Plain>, plain_kernels()}};
#ifdef __x86_64__
  if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2") && avx2_kernels()) {
    sets.push_back({"avx2", 8, chains_avx2, avx2_kernels()});
  }
  if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f") && avx512_kernels()) {
    sets.push_back({"avx512", 16, chains_avx512, avx512_kernels()});
  }
#endif
  return sets;
}

// FLOP/s of `threads` threads together: all run at once, and each counts with its fastest burst, which another process
// was least likely to interrupt.
double peak(const InstructionSet& set, int threads) {
  std::vector<double> fastest(threads, 1e9);
  const auto run = [&](int thread) {
    for (int burst = 0; burst < kBursts; ++burst) {
      const double start = wall_seconds();
      set.chains();
      fastest[thread] = std::min(fastest[thread], wall_seconds() - start);
    }
  };
  std::vector<std::thread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back(run, t);
  run(0);
  for (std::thread& thread : team) thread.join();
  double sum = 0;
  for (const double seconds : fastest) sum += 2.0 * set.lanes * kChains * kSteps / seconds;
  return sum;
}

// ---- The work

// Exact multiply-adds x 2 of a layer: filter taps that fall off the map are not counted.
double layer_flop(int layer) {
  const net::Layer& l = net::kTable.layer[layer];
  if (layer == 0) return 2.0 * l.C * l.out_H * l.out_W * l.K;
  return 2.0 * (5 * l.H - 3) * (5 * l.W - 3) * l.C *
         l.K;  // an axis: 5 taps an input, less 1 at one end and 2 at the other
}

double face_flop() {
  double flop = 0;
  for (int layer = 0; layer < net::kLayers; ++layer) flop += layer_flop(layer);
  return flop;
}

std::vector<float> read_floats(const std::string& path, std::size_t count) {
  std::vector<float> values(count);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(values.data()), std::streamsize(count * sizeof(float)))) {
    std::fprintf(stderr, "bench_cpu: %s does not hold a network\n", path.c_str());
    std::exit(1);
  }
  return values;
}

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

// ---- Measurements

struct Run {
  std::string set;
  int threads, n;
  std::vector<double> seconds, cpu, peaks;  // one a repeat; peaks in FLOP/s

  double top;  // the highest peak beside any size

  double flop() const { return face_flop() * n; }
  double share_best() const { return flop() / best(seconds) / top; }
  double share_median() const { return flop() / median(seconds) / top; }
  double share_cpu() const { return flop() / best(cpu) / (top / threads); }
};

// Every N on one device, repeats from small to large N and round again, so that a disturbance hits all alike.
std::vector<Run> measure(const InstructionSet& set, int threads, const std::vector<int>& sizes, int repeats,
                         const std::vector<float>& network) {
  setenv("FACEGEN_CPU", set.name.c_str(), 1);
  const auto device = open_cpu(threads);
  unsetenv("FACEGEN_CPU");
  device->load_network(network.data());

  const int most = *std::max_element(sizes.begin(), sizes.end());
  const std::vector<float> noise = random_noise(most);
  std::vector<float> faces(std::size_t(most) * net::kFaceFloats);
  generate(*device, std::min(most, device->chunk_faces()), noise.data(), faces.data());

  std::vector<Run> runs;
  for (const int n : sizes) runs.push_back({set.name, threads, n, {}, {}, {}, 0});
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (Run& run : runs) {
      run.peaks.push_back(peak(set, threads));
      const int times = std::max(1, 64 / run.n);  // of a run too short to time alone
      const double wall = wall_seconds(), cpu = cpu_seconds();
      for (int i = 0; i < times; ++i) generate(*device, run.n, noise.data(), faces.data());
      run.seconds.push_back((wall_seconds() - wall) / times);
      run.cpu.push_back((cpu_seconds() - cpu) / times);
    }
  }
  double top = 0;
  for (const Run& run : runs) top = std::max(top, *std::max_element(run.peaks.begin(), run.peaks.end()));
  for (Run& run : runs) run.top = top;
  return runs;
}

struct LayerTime {
  std::string set, layer;
  double seconds;  // a face
  double flop;
};

// One full tile in one thread, layer by layer, CPU seconds.
std::vector<LayerTime> measure_layers(const InstructionSet& set, int repeats, const std::vector<float>& network) {
  const Kernels& k = *set.kernels;
  std::size_t floats = packed_floats();
  for (int m = 0; m < kMaps; ++m) floats += map_floats(net::kTable.layer[m], k.tile_faces);
  std::unique_ptr<float[], decltype(&std::free)> memory(
      static_cast<float*>(std::aligned_alloc(4096, (floats * sizeof(float) / 4096 + 1) * 4096)), std::free);
  std::fill_n(memory.get(), floats, 0.0f);
  PackedLayer layer[net::kLayers];
  pack_network(network.data(), k.columns, 1, memory.get(), layer);

  const std::vector<float> noise = random_noise(k.tile_faces);
  std::vector<float> faces(std::size_t(k.tile_faces) * net::kFaceFloats);
  Tile tile = {k.tile_faces, noise.data(), {}, faces.data()};
  float* at = memory.get() + packed_floats();
  for (int m = 0; m < kMaps; at += map_floats(net::kTable.layer[m++], k.tile_faces)) tile.map[m] = at;

  std::vector<LayerTime> times;
  for (int i = 0; i < net::kLayers; ++i) {
    const net::Layer& l = net::kTable.layer[i];
    const std::function<void()> layer_on_tile = [&] {
      if (i == 0) {
        for (int p = 0; p < l.out_H * l.out_W * l.K / k.columns; ++p) k.proj(layer[0], tile, p);
      } else if (l.batch_norm) {
        for (int phase = 3; phase >= 0; --phase) {
          for (int p = 0; p < l.K / k.columns; ++p) k.tconv[i](layer[i], tile, phase, p, 0, l.H);
        }
      } else {
        k.tconv4(layer[i], tile, 0, l.H);
      }
    };
    std::vector<double> seconds;
    for (int repeat = 0; repeat < repeats + 1; ++repeat) {
      const double start = cpu_seconds();
      layer_on_tile();
      seconds.push_back((cpu_seconds() - start) / k.tile_faces);
    }
    times.push_back({set.name, l.name, best(seconds), layer_flop(i)});
  }
  return times;
}

// ---- Tables and JSON

std::string json_list(const std::vector<double>& values) {
  std::ostringstream out;
  for (std::size_t i = 0; i < values.size(); ++i) out << (i ? ", " : "[") << values[i];
  return out.str() + "]";
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

void write_json(const std::string& path, int threads, const std::vector<Run>& runs,
                const std::vector<LayerTime>& layers) {
  std::ofstream out(path);
  out << "{\n  \"cpu\": \"" << cpu_model() << "\",\n  \"threads\": " << threads
      << ",\n  \"flop_a_face\": " << std::size_t(face_flop()) << ",\n  \"runs\": [\n";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Run& r = runs[i];
    out << "    {\"isa\": \"" << r.set << "\", \"threads\": " << r.threads << ", \"faces\": " << r.n
        << ", \"faces_per_s_best\": " << r.n / best(r.seconds)
        << ", \"faces_per_s_median\": " << r.n / median(r.seconds) << ", \"share_of_peak_best\": " << r.share_best()
        << ", \"share_of_peak_median\": " << r.share_median() << ", \"share_of_peak_cpu_seconds\": " << r.share_cpu()
        << ",\n     \"seconds\": " << json_list(r.seconds) << ", \"cpu_seconds\": " << json_list(r.cpu)
        << ", \"peak_flop_per_s\": " << r.top << ", \"peaks_flop_per_s\": " << json_list(r.peaks) << "}"
        << (i + 1 < runs.size() ? ",\n" : "\n");
  }
  out << "  ],\n  \"layers_one_thread\": [\n";
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerTime& l = layers[i];
    out << "    {\"isa\": \"" << l.set << "\", \"layer\": \"" << l.layer << "\", \"cpu_seconds_a_face\": " << l.seconds
        << ", \"gflop_per_s\": " << l.flop / l.seconds * 1e-9 << "}" << (i + 1 < layers.size() ? ",\n" : "\n");
  }
  out << "  ]\n}\n";
  if (!out.flush()) {
    std::fprintf(stderr, "bench_cpu: cannot write %s\n", path.c_str());
    std::exit(3);
  }
}

void print_head() {
  std::printf("%-7s %7s %6s %10s %10s %9s | share of the FMA peak: %6s %7s %7s\n", "isa", "threads", "N", "faces/s",
              "(median)", "GFLOP/s", "best", "median", "by CPU");
}

void print_run(const Run& r) {
  std::printf("%-7s %7d %6d %10.1f %10.1f %9.1f | %29.1f%% %6.1f%% %6.1f%%\n", r.set.c_str(), r.threads, r.n,
              r.n / best(r.seconds), r.n / median(r.seconds), r.flop() / best(r.seconds) * 1e-9, 100 * r.share_best(),
              100 * r.share_median(), 100 * r.share_cpu());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::string network_path = "network.bin", json;
  int threads = int(std::max(1u, std::thread::hardware_concurrency())), repeats = 7;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 == argc ||
        (option != "--network" && option != "--threads" && option != "--repeats" && option != "--json")) {
      std::fprintf(stderr, "usage: bench_cpu [--network FILE] [--threads T] [--repeats R] [--json FILE]\n");
      return 2;
    }
    if (option == "--network") network_path = argv[i + 1];
    if (option == "--threads") threads = std::max(1, std::atoi(argv[i + 1]));
    if (option == "--repeats") repeats = std::max(1, std::atoi(argv[i + 1]));
    if (option == "--json") json = argv[i + 1];
  }
  const std::vector<float> network = read_floats(network_path, net::kNetworkFloats);
  const std::vector<InstructionSet> sets = instruction_sets();

  std::vector<Run> runs;
  print_head();
  for (const InstructionSet& set : sets) {
    for (const Run& run : measure(set, threads, {1, 10, 100, 1024}, set.name == "plain" ? 1 : repeats, network)) {
      print_run(run);
      runs.push_back(run);
    }
  }

  std::printf("\nthreads, %s\n", sets.back().name.c_str());
  print_head();
  for (int t = 1; t < threads; t *= 2) {
    runs.push_back(measure(sets.back(), t, {1024}, repeats, network)[0]);
    print_run(runs.back());
  }

  std::printf("\n%-7s %-7s %12s %9s\n", "isa", "layer", "us a face", "GFLOP/s   (one thread, CPU time)");
  std::vector<LayerTime> layers;
  for (const InstructionSet& set : sets) {
    for (const LayerTime& l : measure_layers(set, repeats, network)) {
      std::printf("%-7s %-7s %12.1f %9.1f\n", l.set.c_str(), l.layer.c_str(), l.seconds * 1e6,
                  l.flop / l.seconds * 1e-9);
      layers.push_back(l);
    }
  }
  if (!json.empty()) write_json(json, threads, runs, layers);
}
