// How fast each kind of kernels and the GPU backend are, beside the limits of the same GPU measured in the same run.
//
// Usage: bench_gpu [--network network.bin]
//
// Times are medians of several runs after a warm-up; FLOPs are the multiply-adds of taps that exist, twice. "Host to
// host" is what facegen() is timed for on one GPU: network and noise from page-locked memory, all faces back in it.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "network.h"
#include "run/chunks.h"
#include "run/device.h"
#include "tests/random_network.h"

namespace {

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
  int faces;                     // of a chunk
  double seconds[net::kLayers];  // of each layer, one after another
  double chunk_seconds;          // of all, many chunks in a row
};

KindTimes time_kind(Generator& generator, const std::vector<float>& network, cudaStream_t stream) {
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
  KindTimes times = {n, {}, 0};
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
    const double start = now();
    device.load_network(pinned_network.floats());
    int started = 0, finished = 0;
    for (const Share& chunk : plan_chunks({0, faces}, 1, device.chunk_faces())) {
      if (started - finished == device.slots()) device.finish(finished++ % device.slots());
      device.start(started++ % device.slots(), int(chunk.faces), noise.floats() + chunk.first * net::kNoise,
                   out.floats() + chunk.first * net::kFaceFloats);
    }
    while (finished < started) device.finish(finished++ % device.slots());
    if (run > 0) times.push_back(now() - start);
  }
  return median(times);
}

// ---- The report

void report_run(const std::string& program, int faces, double seconds, const Limits& limits) {
  Row("runs")
      .set("program", program)
      .set("faces", faces)
      .set("seconds", seconds)
      .set("faces_per_s", faces / seconds)
      .set("share_of_fp32_peak", 2 * net::multiply_adds() * faces / seconds / limits.flops);
}

int run(const Arguments& given) {
  std::string why_not;
  if (count_gpus(&why_not) == 0) {
    std::printf("SKIPPED: no GPU here to measure: %s\n", why_not.c_str());
    return kDone;
  }
  const std::vector<float> network = read_network(given.at("network"));
  const std::unique_ptr<Device> device = open_gpu(0);
  device->attach();
  cudaDeviceProp gpu;
  CUDA_CHECK(cudaGetDeviceProperties(&gpu, 0));
  int kilohertz = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, 0));
  Row()
      .set("gpu", gpu.name)
      .set("multiprocessors", gpu.multiProcessorCount)
      .set("clock_mhz", kilohertz / 1000)
      .set("build", gpu_about());

  const Stream stream;
  const Limits limits = measure_limits(gpu, stream);
  Row("limits")
      .set("fp32_tflops", limits.flops * 1e-12)
      .set("to_gpu_gb_s", limits.to_gpu * 1e-9)
      .set("to_host_gb_s", limits.to_host * 1e-9)
      .set("on_gpu_gb_s", limits.on_gpu * 1e-9);

  const auto time = [&](const std::string& name, std::unique_ptr<Generator> generator) {
    if (!generator) return;
    const KindTimes kind = time_kind(*generator, network, stream);
    for (int i = 0; i < net::kLayers; ++i) {
      const net::Layer& l = net::kTable.layer[i];
      Row("layers")
          .set("kernels", name)
          .set("layer", l.name)
          .set("faces", kind.faces)
          .set("seconds", kind.seconds[i])
          .set("tflops", 2 * net::multiply_adds(l) * kind.faces / kind.seconds[i] * 1e-12);
    }
    report_run(name + ", on the GPU", kind.faces, kind.chunk_seconds, limits);
  };
  time("fast", make_fast_generator(gpu));
  time("accurate", make_accurate_generator(gpu));
  time("precise", make_precise_generator(gpu));
  time("exact", make_exact_generator(gpu));
  for (const Noise& noise : kNoises) {
    for (const int faces : {1000, 8192, 65536}) {
      report_run(noise.name, faces, time_host_to_host(*device, network, faces, noise), limits);
    }
  }
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  return guarded_main("bench_gpu", [&] { return run(parse(argc, argv, {{"network", "network.bin"}})); });
}
