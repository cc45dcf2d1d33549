// How fast each kind of kernels and the GPU backend are, beside the limits of the same GPU measured in the same run.
//
// Usage: bench_gpu [--faces 1000,8192,65536] [--network network.bin] [--json FILE]
//
// Times are medians of several runs after a warm-up; FLOPs are the multiply-adds of taps that exist, twice. "Host to
// host" is what facegen() is timed for on one GPU: network and noise from page-locked memory, all faces back in it.
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "common/failure.h"
#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "network.h"
#include "run/chunks.h"
#include "run/device.h"
#include "tests/random_network.h"

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds that the work takes on the GPU, between two events around it.
class Timer {
 public:
  Timer() {
    CUDA_CHECK(cudaEventCreate(&start_));
    CUDA_CHECK(cudaEventCreate(&stop_));
  }
  ~Timer() {
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }
  double seconds(cudaStream_t stream, const std::function<void()>& work, int runs = 9) {
    std::vector<double> times;
    for (int i = 0; i <= runs; ++i) {
      CUDA_CHECK(cudaEventRecord(start_, stream));
      work();
      CUDA_CHECK(cudaEventRecord(stop_, stream));
      CUDA_CHECK(cudaEventSynchronize(stop_));
      float milliseconds = 0;
      CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start_, stop_));
      if (i > 0) times.push_back(milliseconds * 1e-3);  // the first is the warm-up
    }
    return median(times);
  }

 private:
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

// ---- The limits

constexpr int kPeakThreads = 256, kPeakSums = 16, kPeakTurns = 512, kPeakUnrolled = 16;

// Nothing but multiply-adds on registers: 16 independent sums a thread.
__global__ void __launch_bounds__(kPeakThreads) peak_kernel(float* out, float factor) {
  float sum[kPeakSums];
  for (int i = 0; i < kPeakSums; ++i) sum[i] = float(threadIdx.x + i);
#pragma unroll 1
  for (int turn = 0; turn < kPeakTurns; ++turn) {
#pragma unroll
    for (int i = 0; i < kPeakSums * kPeakUnrolled; ++i) sum[i % kPeakSums] = fmaf(sum[i % kPeakSums], factor, factor);
  }
  float total = 0;
  for (int i = 0; i < kPeakSums; ++i) total += sum[i];
  if (total == 0.5f) *out = total;  // hardly ever: what is computed must look needed
}

struct Limits {
  double flops, to_gpu, to_host, on_gpu;  // a second: FLOPs, bytes
};

Limits measure_limits(const cudaDeviceProp& gpu, cudaStream_t stream) {
  Timer timer;
  Limits limits;
  const std::size_t bytes = std::size_t(256) << 20;
  const DeviceMemory a(bytes), b(bytes);
  const PinnedMemory host(bytes);
  const int blocks = gpu.multiProcessorCount * 8;
  const double flops = 2.0 * blocks * kPeakThreads * kPeakSums * kPeakTurns * kPeakUnrolled;
  limits.flops = flops / timer.seconds(stream, [&] {
    peak_kernel<<<blocks, kPeakThreads, 0, stream>>>(a.floats(), 0.999f);
    CUDA_CHECK(cudaGetLastError());
  });
  const auto copy_rate = [&](void* to, const void* from, cudaMemcpyKind kind) {
    return bytes / timer.seconds(stream, [&] { CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, stream)); });
  };
  limits.to_gpu = copy_rate(a.floats(), host.floats(), cudaMemcpyHostToDevice);
  limits.to_host = copy_rate(host.floats(), a.floats(), cudaMemcpyDeviceToHost);
  limits.on_gpu = 2 * copy_rate(b.floats(), a.floats(), cudaMemcpyDeviceToDevice);  // read and written
  return limits;
}

// ---- What we do

// One kind of kernels on the GPU alone, chunk after chunk.
struct KindTimes {
  std::string name;
  int faces;                     // of a chunk
  double seconds[net::kLayers];  // of each layer, one after another
  double chunk_seconds;          // of all, many chunks in a row
};

KindTimes time_kind(const char* name, Generator& generator, const std::vector<float>& network, cudaStream_t stream) {
  const int n = generator.chunk_faces(), chunks = 8;
  const DeviceMemory network_on_gpu(net::kNetworkBytes), workspace(generator.workspace_bytes(n));
  const DeviceMemory faces(std::size_t(n) * net::kFaceFloats * sizeof(float));
  const PinnedMemory unfit((1 + n) * sizeof(int));
  const std::vector<float> noise = random_noise(6, 0, n, true);
  const DeviceMemory noise_on_gpu(noise.size() * sizeof(float));
  CUDA_CHECK(cudaMemcpy(network_on_gpu.floats(), network.data(), net::kNetworkBytes, cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaMemcpy(noise_on_gpu.floats(), noise.data(), noise.size() * sizeof(float), cudaMemcpyHostToDevice));
  int* flags = reinterpret_cast<int*>(unfit.bytes());
  for (int layer = 0; layer < net::kLayers; ++layer)
    generator.load_layer(layer, network_on_gpu.floats(), flags, stream);

  const Chunk chunk = {n, noise_on_gpu.floats(), nullptr, faces.floats(), workspace.bytes(), flags + 1};
  KindTimes times = {name, n, {}, 0};
  cudaEvent_t events[net::kLayers + 1];
  for (cudaEvent_t& event : events) CUDA_CHECK(cudaEventCreate(&event));
  std::vector<double> of_layer[net::kLayers];
  for (int run = 0; run < 10; ++run) {
    CUDA_CHECK(cudaEventRecord(events[0], stream));
    for (int layer = 0; layer < net::kLayers; ++layer) {
      generator.launch_layer(layer, chunk, stream);
      CUDA_CHECK(cudaEventRecord(events[layer + 1], stream));
    }
    CUDA_CHECK(cudaStreamSynchronize(stream));
    for (int layer = 0; layer < net::kLayers && run > 0; ++layer) {  // the first is the warm-up
      float milliseconds = 0;
      CUDA_CHECK(cudaEventElapsedTime(&milliseconds, events[layer], events[layer + 1]));
      of_layer[layer].push_back(milliseconds * 1e-3);
    }
  }
  for (int layer = 0; layer < net::kLayers; ++layer) times.seconds[layer] = median(of_layer[layer]);
  for (cudaEvent_t event : events) CUDA_CHECK(cudaEventDestroy(event));
  times.chunk_seconds = Timer().seconds(stream, [&] {
    for (int i = 0; i < chunks; ++i) generator.generate(chunk, nullptr, stream);
  }) / chunks;
  return times;
}

// Kinds of noise.
struct Noise {
  const char* name;
  float size, other_size;  // of a face's noise, and of every other's, in random order
  bool uniform, other_uniform;
};
constexpr Noise kNoises[] = {{"uniform(-1, 1)", 1, 1, true, true},
                             {"normal(0, 1)", 1, 1, false, false},
                             {"uniform(-1, 1) and normal(0, 1)", 1, 1, true, false},
                             {"uniform(-1, 1) and uniform(-30, 30)", 1, 30, true, true},
                             {"uniform(-30, 30)", 30, 30, true, true}};

// N faces through Device, as a run with one GPU does it.
double time_host_to_host(Device& device, const std::vector<float>& network, int faces, const Noise& kind) {
  const PinnedMemory pinned_network(net::kNetworkBytes), noise(std::size_t(faces) * net::kNoiseBytes);
  const PinnedMemory out(std::size_t(faces) * net::kFaceBytes);
  std::copy(network.begin(), network.end(), pinned_network.floats());
  Random random(7);
  for (int face = 0; face < faces; ++face) {
    const bool other = random.uniform(0, 1) < 0.5, uniform = other ? kind.other_uniform : kind.uniform;
    const double size = other ? kind.other_size : kind.size;
    for (int c = 0; c < net::kNoise; ++c)
      noise.floats()[std::size_t(face) * net::kNoise + c] =
          float(uniform ? random.uniform(-size, size) : random.normal(0, size));
  }

  std::vector<double> times;
  for (int run = 0; run < 6; ++run) {
    const auto start = std::chrono::steady_clock::now();
    device.load_network(pinned_network.floats());
    int started = 0, finished = 0;
    for (const Share& chunk : plan_chunks({0, faces}, 1, device.chunk_faces())) {
      if (started - finished == device.slots()) device.finish(finished++ % device.slots());
      device.start(started++ % device.slots(), int(chunk.faces), noise.floats() + chunk.first * net::kNoise,
                   out.floats() + chunk.first * net::kFaceFloats);
    }
    while (finished < started) device.finish(finished++ % device.slots());
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    if (run > 0) times.push_back(time.count());
  }
  return median(times);
}

// ---- The report

int run(int argc, char** argv) {
  std::vector<int> counts = {1000, 8192, 65536};
  std::string network_path = "network.bin", json_path;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--network") network_path = argv[i + 1];
    if (option == "--json") json_path = argv[i + 1];
    if (option == "--faces") {
      counts.clear();
      for (char* at = argv[i + 1]; *at;) {
        counts.push_back(int(std::strtol(at, &at, 10)));
        if (*at == ',') ++at;
      }
    }
  }
  std::string why_not;
  if (count_gpus(&why_not) == 0) {
    std::printf("SKIPPED: no GPU here to measure: %s\n", why_not.c_str());
    return 0;
  }
  const std::vector<float> network = read_network(network_path);
  const std::unique_ptr<Device> device = open_gpu(0);
  device->attach();
  cudaDeviceProp gpu;
  CUDA_CHECK(cudaGetDeviceProperties(&gpu, 0));
  int driver = 0, kilohertz = 0;
  CUDA_CHECK(cudaDriverGetVersion(&driver));
  CUDA_CHECK(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, 0));

  const Stream stream;
  const Limits limits = measure_limits(gpu, stream);
  std::vector<KindTimes> kinds;
  const auto time = [&](const char* name, std::unique_ptr<Generator> generator) {
    if (generator) kinds.push_back(time_kind(name, *generator, network, stream));
  };
  time("fast", make_fast_generator(gpu));
  time("accurate", make_accurate_generator(gpu));
  time("precise", make_precise_generator(gpu));
  time("exact", make_exact_generator(gpu));

  std::printf("%s, %s\n", device->name().c_str(), gpu_about());
  std::printf("measured limits: %.1f TFLOP/s fp32, %.1f GB/s to the GPU, %.1f GB/s to the host, %.2f TB/s on it\n",
              limits.flops * 1e-12, limits.to_gpu * 1e-9, limits.to_host * 1e-9, limits.on_gpu * 1e-12);
  std::string json_layers, json_runs;
  char line[512];
  for (const KindTimes& kind : kinds) {
    std::printf("\n%s, %d faces %10s %10s\n", kind.name.c_str(), kind.faces, "us", "TFLOP/s");
    for (int i = 0; i < net::kLayers; ++i) {
      const net::Layer& l = net::kTable.layer[i];
      const double rate = 2 * net::multiply_adds(l) * kind.faces / kind.seconds[i];
      std::printf("  %-8s %22.1f %10.2f\n", l.name, kind.seconds[i] * 1e6, rate * 1e-12);
      std::snprintf(
          line, sizeof(line),
          "%s\n    {\"kernels\": \"%s\", \"layer\": \"%s\", \"faces\": %d, \"seconds\": %.9f, \"tflops\": %.3f}",
          json_layers.empty() ? "" : ",", kind.name.c_str(), l.name, kind.faces, kind.seconds[i], rate * 1e-12);
      json_layers += line;
    }
  }
  const auto report = [&](const char* what, int faces, double seconds) {
    const double rate = 2 * net::multiply_adds() * faces / seconds;
    std::printf("%-36s %6d faces %9.3f ms %10.0f faces/s  %5.1f%% of the fp32 peak\n", what, faces, seconds * 1e3,
                faces / seconds, 100 * rate / limits.flops);
    std::snprintf(line, sizeof(line),
                  "%s\n    {\"program\": \"%s\", \"faces\": %d, \"seconds\": %.9f, \"faces_per_s\": %.0f, "
                  "\"share_of_fp32_peak\": %.4f}",
                  json_runs.empty() ? "" : ",", what, faces, seconds, faces / seconds, rate / limits.flops);
    json_runs += line;
  };
  std::printf("\n");
  for (const KindTimes& kind : kinds) report((kind.name + ", on the GPU").c_str(), kind.faces, kind.chunk_seconds);
  for (const Noise& noise : kNoises)
    for (const int faces : counts) report(noise.name, faces, time_host_to_host(*device, network, faces, noise));

  if (json_path.empty()) return 0;
  std::FILE* json = std::fopen(json_path.c_str(), "w");
  if (!json) throw Failure(kMachine, "'" + json_path + "' cannot be written");
  std::fprintf(
      json,
      "{\n  \"gpu\": \"%s\", \"multiprocessors\": %d, \"clock_mhz\": %d, \"driver_cuda\": %d, \"build\": \"%s\",\n"
      "  \"network\": \"%s\",\n"
      "  \"limits\": {\"fp32_tflops\": %.3f, \"to_gpu_gb_s\": %.2f, \"to_host_gb_s\": %.2f, \"on_gpu_gb_s\": %.1f},\n"
      "  \"layers\": [%s\n  ],\n  \"runs\": [%s\n  ]\n}\n",
      gpu.name, gpu.multiProcessorCount, kilohertz / 1000, driver, gpu_about(), network_path.c_str(),
      limits.flops * 1e-12, limits.to_gpu * 1e-9, limits.to_host * 1e-9, limits.on_gpu * 1e-9, json_layers.c_str(),
      json_runs.c_str());
  std::fclose(json);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Failure& failure) {
    std::fprintf(stderr, "bench_gpu: %s\n", failure.what());
    return failure.status();
  }
}
