// Speed of the CPU backend against what the cores can do.
//
//   bench_cpu [--network FILE] [--threads T] [--repeats R] [--json FILE]
//
// For every instruction set that this CPU has: the peak of T threads (independent multiply-adds in registers), faces
// per second for N = 1 ... 1,024 as a share of that peak, how that scales from 1 to T threads, and one thread's time
// layer by layer. The peak is measured anew beside every run. Best and median of R repeats; a disturbed machine shows
// in the gap between them, and in the share of the peak by CPU seconds, which counts only time spent running.
//
// The peak is given twice. "Fastest": each thread counts with its fastest burst of 1 to 3 ms, so it is what the cores
// could do undisturbed; shares refer to it. "Sustained": the same bursts of all threads from the first start to the
// last end, which also has in it what clock the cores keep up together, and other work on the machine.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
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

#include "cpu/cpu_device.h"
#include "cpu/kernels.h"
#include "cpu/pack.h"
#include "network.h"
#include "run/device.h"

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
  const Kernels* kernels;
  void (*chains)();
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
struct Peak {
  double fastest, sustained;
};

Peak most(Peak a, Peak b) { return {std::max(a.fastest, b.fastest), std::max(a.sustained, b.sustained)}; }

Peak peak(const InstructionSet& set, int threads) {
  std::vector<double> fastest(threads, 1e9), start(threads), end(threads);
  std::atomic<int> ready{0};
  const auto run = [&](int thread) {
    for (++ready; ready < threads;) std::this_thread::yield();
    start[thread] = wall_seconds();
    for (int burst = 0; burst < kBursts; ++burst) {
      const double before = wall_seconds();
      set.chains();
      fastest[thread] = std::min(fastest[thread], wall_seconds() - before);
    }
    end[thread] = wall_seconds();
  };
  std::vector<std::thread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back(run, t);
  run(0);
  for (std::thread& thread : team) thread.join();
  double sum = 0;
  for (const double seconds : fastest) sum += set.flop / seconds;
  const double seconds = *std::max_element(end.begin(), end.end()) - *std::min_element(start.begin(), start.end());
  return {sum, set.flop * kBursts * threads / seconds};
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
  const InstructionSet* set;
  int threads, n;
  std::vector<double> seconds, cpu;  // one a repeat
  Peak top;                          // the highest beside any size

  double flop() const { return face_flop() * n; }
  double share_best() const { return flop() / best(seconds) / top.fastest; }
  double share_median() const { return flop() / median(seconds) / top.fastest; }
  double share_cpu() const { return flop() * threads / best(cpu) / top.fastest; }
  double share_sustained() const { return flop() / best(seconds) / top.sustained; }
};

// Every N on one device, repeats from small to large N and round again, so that a disturbance hits all alike.
std::vector<Run> measure(const InstructionSet& set, int threads, const std::vector<int>& sizes, int repeats,
                         const std::vector<float>& network) {
  const auto device = open_cpu(*set.kernels, threads);
  device->attach();
  device->load_network(network.data());

  const int largest = *std::max_element(sizes.begin(), sizes.end());
  const std::vector<float> noise = random_noise(largest);
  std::vector<float> faces(std::size_t(largest) * net::kFaceFloats);
  generate(*device, std::min(largest, device->chunk_faces()), noise.data(), faces.data());

  std::vector<Run> runs;
  for (const int n : sizes) runs.push_back({&set, threads, n, {}, {}, {}});
  Peak top = {};
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (Run& run : runs) {
      top = most(top, peak(set, threads));
      const int times = std::max(1, 64 / run.n);  // of a run too short to time alone
      const double wall = wall_seconds(), cpu = cpu_seconds();
      for (int i = 0; i < times; ++i) generate(*device, run.n, noise.data(), faces.data());
      run.seconds.push_back((wall_seconds() - wall) / times);
      run.cpu.push_back((cpu_seconds() - cpu) / times);
    }
  }
  for (Run& run : runs) run.top = top;
  return runs;
}

struct LayerTime {
  std::string set, layer;
  int faces;
  double seconds;  // a face
  double flop;
  double share;  // of the peak
};

// One tile in one thread, layer by layer, CPU seconds.
std::vector<LayerTime> measure_layers(const InstructionSet& set, int tile_faces, int repeats,
                                      const std::vector<float>& network) {
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

  const double at_most = peak(set, 1).fastest;
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
      seconds.push_back((cpu_seconds() - start) / tile_faces);
    }
    times.push_back(
        {set.name, l.name, tile_faces, best(seconds), layer_flop(i), layer_flop(i) / best(seconds) / at_most});
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

// One line of the scaling table.
double efficiency(const Run& r, const Run& one_thread) {
  return r.n / best(r.seconds) / (one_thread.n / best(one_thread.seconds)) / r.threads;
}

void write_run(std::ofstream& out, const Run& r) {
  out << "    {\"isa\": \"" << r.set->name << "\", \"threads\": " << r.threads << ", \"faces\": " << r.n
      << ", \"faces_per_s_best\": " << r.n / best(r.seconds) << ", \"faces_per_s_median\": " << r.n / median(r.seconds)
      << ", \"share_of_peak_best\": " << r.share_best() << ", \"share_of_peak_median\": " << r.share_median()
      << ", \"share_of_peak_cpu_seconds\": " << r.share_cpu()
      << ", \"share_of_sustained_peak\": " << r.share_sustained() << ",\n     \"seconds\": " << json_list(r.seconds)
      << ", \"cpu_seconds\": " << json_list(r.cpu);
  out << ", \"peak_flop_per_s\": {\"fastest\": " << r.top.fastest << ", \"sustained\": " << r.top.sustained << "}";
}

// scaling: for every set, 1 ... T threads.
void write_json(const std::string& path, int threads, const std::vector<Run>& runs,
                const std::vector<std::vector<Run>>& scaling, const std::vector<LayerTime>& layers) {
  std::ofstream out(path);
  const char* separator = "\n";
  const auto next = [&] { out << separator, separator = ",\n"; };
  const auto list = [&](const char* name) { out << ",\n  \"" << name << "\": [", separator = "\n"; };

  out << "{\n  \"cpu\": \"" << cpu_model() << "\",\n  \"threads\": " << threads
      << ",\n  \"flop_a_face\": " << std::size_t(face_flop());
  list("runs");
  for (const Run& r : runs) next(), write_run(out, r), out << "}";
  out << "\n  ]";
  list("scaling");
  for (const std::vector<Run>& set : scaling) {
    for (const Run& r : set) {
      next(), write_run(out, r);
      out << ", \"parallel_efficiency\": " << efficiency(r, set[0]) << "}";
    }
  }
  out << "\n  ]";
  list("layers_one_thread");
  for (const LayerTime& l : layers) {
    next();
    out << "    {\"isa\": \"" << l.set << "\", \"layer\": \"" << l.layer << "\", \"tile_faces\": " << l.faces
        << ", \"cpu_seconds_a_face\": " << l.seconds << ", \"gflop_per_s\": " << l.flop / l.seconds * 1e-9
        << ", \"share_of_peak\": " << l.share << "}";
  }
  out << "\n  ]\n}\n";
  if (!out.flush()) {
    std::fprintf(stderr, "bench_cpu: cannot write %s\n", path.c_str());
    std::exit(3);
  }
}

void print_head(const char* more = "") {
  std::printf("%-7s %7s %6s %10s %10s %9s | share of the peak: %6s %7s %7s %10s%s\n", "isa", "threads", "N", "faces/s",
              "(median)", "GFLOP/s", "best", "median", "by CPU", "sustained", more);
}

void print_run(const Run& r) {
  std::printf("%-7s %7d %6d %10.1f %10.1f %9.1f | %24.1f%% %6.1f%% %6.1f%% %9.1f%%", r.set->name.c_str(), r.threads,
              r.n, r.n / best(r.seconds), r.n / median(r.seconds), r.flop() / best(r.seconds) * 1e-9,
              100 * r.share_best(), 100 * r.share_median(), 100 * r.share_cpu(), 100 * r.share_sustained());
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
    const int times = set.name == "plain" ? 1 : repeats;
    for (const Run& run : measure(set, threads, {1, 10, 100, 1024}, times, network)) {
      print_run(run);
      std::printf("\n");
      std::fflush(stdout);
      runs.push_back(run);
    }
  }

  constexpr int kFacesAThread = 64;
  std::printf("\n%d faces a thread\n", kFacesAThread);
  print_head(" | efficiency");
  std::vector<std::vector<Run>> scaling;
  for (const InstructionSet& set : sets) {
    if (set.name == "plain") continue;
    scaling.emplace_back();
    for (int t = 1; t <= threads; t = t < threads ? std::min(2 * t, threads) : t + 1) {
      scaling.back().push_back(measure(set, t, {kFacesAThread * t}, repeats, network)[0]);
      print_run(scaling.back().back());
      std::printf(" | %9.1f%%\n", 100 * efficiency(scaling.back().back(), scaling.back()[0]));
      std::fflush(stdout);
    }
  }

  std::printf("\n%-7s %-7s %5s %12s %9s %14s\n", "isa", "layer", "tile", "us a face", "GFLOP/s",
              "share of peak   (one thread, CPU time)");
  std::vector<LayerTime> layers;
  for (const InstructionSet& set : sets) {
    for (const int tile_faces : {set.kernels->tile_faces / 2, set.kernels->tile_faces}) {
      for (const LayerTime& l : measure_layers(set, tile_faces, repeats, network)) {
        std::printf("%-7s %-7s %5d %12.1f %9.1f %13.1f%%\n", l.set.c_str(), l.layer.c_str(), l.faces, l.seconds * 1e6,
                    l.flop / l.seconds * 1e-9, 100 * l.share);
        layers.push_back(l);
      }
    }
  }
  if (!json.empty()) write_json(json, threads, runs, scaling, layers);
}
