// What every generator for tensor cores is checked by: against float64, layer by layer and as a whole, on the shipped
// network, random and hard ones; against plain fp32; and how fast it is.
//
// A test includes the generator's own source first, so that maps and packed weights can be looked into, then says what
// is tested, and then includes this:
//   using Tested = ...Generator;
//   constexpr auto make_tested = make_..._generator;
//   constexpr double kLimit = ...;         // worst error of a value of a face
#ifndef FACEGEN_TESTS_TENSOR_CORE_CHECKS_H_
#define FACEGEN_TESTS_TENSOR_CORE_CHECKS_H_

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "kernels/split/fold.cuh"
#include "kernels/split/redo.cuh"
#include "network.h"
#include "tests/float64_reference.h"

void await_layer(int layer, const cudaEvent_t* loaded, cudaStream_t stream) {
  if (loaded != nullptr) CUDA_CHECK(cudaStreamWaitEvent(stream, loaded[layer], 0));
}

namespace {

using Map = std::vector<double>;

constexpr unsigned kEightLayers = decltype(Tested::split_)::kEightLayers;  // see in_8_bits

double from_e4m3(char bits) {
  __nv_fp8_e4m3 value;
  value.__x = __nv_fp8_storage_t(bits);
  return double(float(value));
}

int passed = 0, failed = 0;

bool check(bool good, const std::string& what) {
  (good ? passed : failed) += 1;
  printf("%s %s\n", good ? "ok    " : "FAILED", what.c_str());
  fflush(stdout);
  return good;
}

std::string text(const char* format, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

// All five maps of one face in float64: proj, tconv1..3 after ReLU, and the face.
std::vector<Map> reference_maps(const std::vector<float>& network, const float* noise) {
  std::vector<Map> maps;
  Map in(noise, noise + net::kNoise);
  for (const net::Layer& l : net::kTable.layer) maps.push_back(in = reference_layer(l, network.data(), in));
  return maps;
}

// ---- Networks

std::vector<float> read_network(const char* path) {
  std::vector<float> network(net::kNetworkFloats);
  FILE* file = fopen(path, "rb");
  const bool whole = file && fread(network.data(), sizeof(float), network.size(), file) == network.size();
  if (file) fclose(file);
  if (!whole) {
    fprintf(stderr, "%s: not a network of %zu floats; name one as the first argument\n", path, network.size());
    exit(1);
  }
  return network;
}

// Normal weights of deviation 1 / sqrt(terms) and BN that normalises roughly; hard: weights x 10 and / 10 in turn with
// BN absorbing it, biases and means that are large and alike, tiny variances, channels that ReLU always cuts.
std::vector<float> random_network(unsigned seed, bool hard) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform;
  std::vector<float> network(net::kNetworkFloats);
  for (int layer = 0; layer < net::kLayers; ++layer) {
    const net::Layer& l = net::kTable.layer[layer];
    const float factor = !hard ? 1 : layer % 2 == 0 ? 10 : 0.1f;
    const double terms = layer == 0 ? l.C : 6.25 * l.C * 0.5;
    const float deviation = float(factor / std::sqrt(terms));
    const std::size_t weights = l.bias - l.weight, biases = layer == 0 ? 8192 : l.K;
    for (std::size_t i = 0; i < weights; ++i) network[l.weight + i] = deviation * normal(random);
    if (!l.batch_norm) {
      for (std::size_t i = 0; i < weights; ++i) network[l.weight + i] *= 0.5f / factor;
      for (std::size_t i = 0; i < biases; ++i) network[l.bias + i] = 0.1f * normal(random);
      continue;
    }
    std::vector<float> mean(l.K);
    for (int k = 0; k < l.K; ++k) {
      network[l.beta + k] = 0.2f * normal(random);
      network[l.gamma + k] = 1 + 0.1f * normal(random);
      network[l.var + k] = factor * factor * (0.7f + 0.6f * uniform(random));
      mean[k] = factor * 0.1f * normal(random);
      if (!hard) continue;
      if (k % 8 == 1) network[l.beta + k] = -40;  // always 0 after ReLU
      if (k % 8 == 2) mean[k] += 50 * factor;     // large mean, and a bias that makes it so
      if (k % 8 == 3) {                           // tiny variance: a weight row to match
        network[l.var + k] = 1e-7f;
        const float shrink = 1e-3f;
        if (layer == 0) {
          for (int c = 0; c < l.C; ++c)
            for (int p = 0; p < 16; ++p) network[l.weight + c * 8192 + p * 512 + k] *= shrink / factor;
        } else {
          for (int t = 0; t < 25; ++t)
            for (int c = 0; c < l.C; ++c) network[l.weight + (std::size_t(t) * l.K + k) * l.C + c] *= shrink / factor;
        }
        mean[k] = shrink * normal(random);
      }
    }
    for (int k = 0; k < l.K; ++k) network[l.mean + k] = mean[k];
    for (std::size_t i = 0; i < biases; ++i) {
      const int k = i % l.K;
      network[l.bias + i] = hard && k % 8 == 2 ? 50 * factor : 0;
    }
  }
  return network;
}

std::vector<float> random_noise(int n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> noise(std::size_t(n) * net::kNoise);
  for (float& x : noise) x = normal(random);
  return noise;
}

// ---- The device's side

struct Bench {
  std::unique_ptr<Generator> owner;
  Tested& generator;
  DeviceMemory network{net::kNetworkBytes};

  explicit Bench(std::unique_ptr<Generator> made) : owner(std::move(made)), generator(static_cast<Tested&>(*owner)) {}

  void load(const std::vector<float>& values) {
    CUDA_CHECK(cudaMemcpy(network.floats(), values.data(), net::kNetworkBytes, cudaMemcpyHostToDevice));
    for (int layer = 0; layer < net::kLayers; ++layer) generator.load_layer(layer, network.floats(), nullptr);
    CUDA_CHECK(cudaMemset(network.floats(), 0xff, net::kNetworkBytes));  // the caller may use it for something else
    CUDA_CHECK(cudaDeviceSynchronize());
  }
};

// A chunk's memory, all NaN at first.
struct Chunk {
  int n;
  DeviceMemory noise, faces, workspace;
  Chunk(const Bench& b, int n)
      : n(n),
        noise(std::size_t(n) * net::kNoise * 4),
        faces(std::size_t(n) * net::kFaceFloats * 4),
        workspace(b.generator.workspace_bytes(n)) {
    CUDA_CHECK(cudaMemset(faces.floats(), 0xff, std::size_t(n) * net::kFaceFloats * 4));
    CUDA_CHECK(cudaMemset(workspace.bytes(), 0xff, b.generator.workspace_bytes(n)));
  }
  void set(const float* host) {
    CUDA_CHECK(cudaMemcpy(noise.floats(), host, std::size_t(n) * net::kNoise * 4, cudaMemcpyHostToDevice));
  }
  std::vector<float> get() const {
    std::vector<float> host(std::size_t(n) * net::kFaceFloats);
    CUDA_CHECK(cudaMemcpy(host.data(), faces.floats(), host.size() * 4, cudaMemcpyDeviceToHost));
    return host;
  }
};

std::vector<float> generate(Bench& b, int n, const float* noise) {
  Chunk chunk(b, n);
  chunk.set(noise);
  b.generator.generate(n, chunk.noise.floats(), chunk.faces.floats(), chunk.workspace.bytes(), nullptr, nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  return chunk.get();
}

// Every face by redo.cuh's plain fp32 kernel.
std::vector<float> generate_plainly(Bench& b, const std::vector<float>& network, int n, const float* noise) {
  Chunk chunk(b, n);
  chunk.set(noise);
  DeviceMemory plain(net::kNetworkBytes), all(4);
  CUDA_CHECK(cudaMemcpy(plain.floats(), network.data(), net::kNetworkBytes, cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaMemset(all.bytes(), 1, 4));
  redo_kernel<<<n, 512>>>(n, chunk.noise.floats(), plain.floats(), reinterpret_cast<int*>(chunk.workspace.bytes()),
                          reinterpret_cast<int*>(all.bytes()), chunk.workspace.floats(), kRedoFloats,
                          chunk.faces.floats());
  CUDA_CHECK(cudaGetLastError());
  CUDA_CHECK(cudaDeviceSynchronize());
  return chunk.get();
}

double worst_difference(const float* a, const float* b, std::size_t count) {
  double worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double d = std::fabs(double(a[i]) - b[i]);
    if (!(d <= worst)) worst = d == d ? d : INFINITY;
  }
  return worst;
}

// One network: n faces against the plain kernel, some against float64; the maps of those too, and how full they are.
double test_network(Bench& b, const char* name, const std::vector<float>& network, int n) {
  b.load(network);
  const std::vector<float> noise = random_noise(n, 7);
  Chunk chunk(b, n);
  chunk.set(noise.data());
  b.generator.generate(n, chunk.noise.floats(), chunk.faces.floats(), chunk.workspace.bytes(), nullptr, nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  const std::vector<float> faces = chunk.get();

  const int picks = std::min(n, 16);
  std::vector<int> pick;
  for (int i = 0; i < picks; ++i) pick.push_back(int((long(n) - 1) * i / std::max(picks - 1, 1)));
  std::vector<std::vector<Map>> truth(picks);
  std::vector<std::thread> threads;
  for (int i = 0; i < picks; ++i)
    threads.emplace_back([&, i] { truth[i] = reference_maps(network, &noise[std::size_t(pick[i]) * net::kNoise]); });
  for (std::thread& t : threads) t.join();

  const Workspace where(n);
  std::vector<Channels> channels(4);
  CUDA_CHECK(cudaMemcpy(channels.data(), b.generator.split_.channels(), 4 * sizeof(Channels), cudaMemcpyDeviceToHost));
  for (int layer = 0; layer < 4; ++layer) {
    const net::Layer& l = net::kTable.layer[layer];
    const std::size_t pixels = std::size_t(l.out_H) * l.out_W, row_bytes = split_row_bytes(l.K);
    std::vector<char> map(pixels * n * row_bytes);
    CUDA_CHECK(
        cudaMemcpy(map.data(), chunk.workspace.bytes() + where.map[layer + 1], map.size(), cudaMemcpyDeviceToHost));
    double square = 0, error = 0, worst = 0, top = 0, bottom = 1e30;
    std::vector<double> typical(l.K, 0);
    for (int i = 0; i < picks; ++i)
      for (std::size_t p = 0; p < pixels; ++p)
        for (int k = 0; k < l.K; ++k) {
          const char* row = &map[(p * n + pick[i]) * row_bytes];
          auto half = [&](int byte) { return double(__half2float(*reinterpret_cast<const __half*>(row + byte))); };
          const bool eight = in_8_bits(kEightLayers, layer + 1);
          const double lo = eight ? std::ldexp(from_e4m3(row[first8_byte(l.K, k)]), -kLo8Exponent) : half(lo16_byte(k));
          const double kept = half(hi_byte(eight, k)) + lo;
          const double t = truth[i][layer][p * l.K + k];
          const double d = std::ldexp(kept, -channels[layer].exponent[k]) - t;
          square += t * t;
          error += d * d;
          if (!(std::fabs(d) <= worst)) worst = d == d ? std::fabs(d) : INFINITY;
          top = std::max(top, kept);
          typical[k] += kept * kept;
        }
    for (int k = 0; k < l.K; ++k)
      if (typical[k] > 0) bottom = std::min(bottom, std::sqrt(typical[k] / (double(picks) * pixels)));
    const double relative = std::sqrt(error / square);
    check(relative < 0.06 * kLimit,
          text("%s: %s, rms error / rms %.2e, worst error %.2e; kept: largest %.3g, smallest rms of a "
               "channel %.3g",
               name, l.name, relative, worst, top, bottom));
  }
  double worst = 0;
  for (int i = 0; i < picks; ++i)
    for (int j = 0; j < net::kFaceFloats; ++j) {
      const double d = std::fabs(faces[std::size_t(pick[i]) * net::kFaceFloats + j] - truth[i][4][j]);
      if (!(d <= worst)) worst = d == d ? d : INFINITY;
    }
  check(worst <= kLimit, text("%s: %d of %d faces against float64, worst error %.2e", name, picks, n, worst));
  const std::vector<float> plain = generate_plainly(b, network, n, noise.data());
  const double all = worst_difference(faces.data(), plain.data(), faces.size());
  check(all <= kLimit, text("%s: all %d faces against plain fp32, worst difference %.2e", name, n, all));
  int redone = 0;
  std::vector<int> overflowed(n);
  CUDA_CHECK(cudaMemcpy(overflowed.data(), chunk.workspace.bytes() + where.overflowed, n * 4, cudaMemcpyDeviceToHost));
  for (int x : overflowed) redone += x != 0;
  check(redone == 0, text("%s: %d faces did not fit fp16", name, redone));
  return worst;
}

// Many faces, for the tails of the error: against plain fp32, whose own error is near 2e-6.
void test_many(Bench& b, const std::vector<float>& network) {
  b.load(network);
  const int n = 2048, chunks = 32;
  double worst = 0, squares = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const std::vector<float> noise = random_noise(n, 21 + chunk);
    const std::vector<float> faces = generate(b, n, noise.data());
    const std::vector<float> plain = generate_plainly(b, network, n, noise.data());
    for (std::size_t i = 0; i < faces.size(); ++i) {
      const double d = std::fabs(double(faces[i]) - plain[i]);
      squares += d * d;
      if (!(d <= worst)) worst = d == d ? d : INFINITY;
    }
  }
  const double rms = std::sqrt(squares / chunks / n / net::kFaceFloats);
  check(worst <= kLimit, text("%d faces against plain fp32: worst difference %.2e, rms %.2e", chunks * n, worst, rms));
}

// Every launch by itself, so that one that fails is named.
void test_launches(Bench& b, const std::vector<float>& network) {
  b.load(network);
  const int n = 130;
  Chunk chunk(b, n);
  chunk.set(random_noise(n, 3).data());
  const Workspace where(n);
  char* base = chunk.workspace.bytes();
  Tested& g = b.generator;
  auto launch = [&](const char* name, const std::function<void()>& work) {
    work();
    const cudaError_t error = cudaDeviceSynchronize();
    check(error == cudaSuccess, text("%s runs by itself: %s", name, cudaGetErrorString(error)));
  };
  launch("split_noise", [&] {
    split_noise<<<(32 * n + 255) / 256, 256>>>(n, chunk.noise.floats(), base + where.map[0],
                                               reinterpret_cast<int*>(base + where.overflowed),
                                               reinterpret_cast<int*>(base + where.next_tile));
  });
  launch("proj", [&] { g.launch_product<0>(n, base, where, nullptr, nullptr); });
  launch("tconv1", [&] { g.launch_product<1>(n, base, where, nullptr, nullptr); });
  launch("tconv2", [&] { g.launch_product<2>(n, base, where, nullptr, nullptr); });
  launch("tconv3", [&] { g.launch_product<3>(n, base, where, nullptr, nullptr); });
  launch("tconv4", [&] { g.launch_image(n, base, where, chunk.faces.floats(), nullptr, nullptr); });
}

// The bytes of a face depend neither on the chunk's size nor on its place in it.
void test_chunks(Bench& b, const std::vector<float>& network) {
  b.load(network);
  const int n = 1024;
  const std::vector<float> noise = random_noise(n, 11);
  const std::vector<float> whole = generate(b, n, noise.data());
  const std::vector<float> again = generate(b, n, noise.data());
  check(memcmp(whole.data(), again.data(), whole.size() * 4) == 0, "the same chunk twice gives the same bytes");
  for (int size : {1, 3, 7, 64, 129, 500, 1000}) {
    const int first = 13;
    const std::vector<float> part = generate(b, size, &noise[first * net::kNoise]);
    check(memcmp(part.data(), &whole[std::size_t(first) * net::kFaceFloats], part.size() * 4) == 0,
          text("faces 13 .. %d as a chunk of their own give the same bytes", first + size - 1));
  }
}

// Noise that no fp16 holds, and a network that the estimate of what is typical must get wrong: computed again in fp32.
void test_overflow(Bench& b, std::vector<float> network) {
  b.load(network);
  const int n = 200;
  std::vector<float> noise = random_noise(n, 5);
  const std::vector<float> before = generate(b, n, noise.data());
  for (int c = 0; c < net::kNoise; ++c) noise[17 * net::kNoise + c] *= 1e6f;
  noise[130 * net::kNoise + 99] = 70000;
  const std::vector<float> after = generate(b, n, noise.data());
  const std::vector<float> plain = generate_plainly(b, network, n, noise.data());
  bool others = true;
  for (int f = 0; f < n; ++f)
    if (f != 17 && f != 130)
      others = others && memcmp(&before[std::size_t(f) * net::kFaceFloats], &after[std::size_t(f) * net::kFaceFloats],
                                net::kFaceFloats * 4) == 0;
  check(others, "faces beside one with huge noise keep their bytes");
  const double worst = worst_difference(after.data(), plain.data(), after.size());
  check(worst <= kLimit, text("faces with huge noise agree with plain fp32: %.2e", worst));

  // Maps as many times larger than typical as the noise; from some hundreds on, faces overflow. What tanh leaves of the
  // error grows alike, in any arithmetic.
  network = random_network(3, false);
  b.load(network);
  for (float factor : {100.f, 1e3f, 1e5f}) {
    noise = random_noise(n, 6);
    for (float& x : noise) x *= factor;
    const std::vector<float> big = generate(b, n, noise.data());
    const std::vector<float> big_plain = generate_plainly(b, network, n, noise.data());
    const double d = worst_difference(big.data(), big_plain.data(), big.size());
    check(d <= 0.1 * kLimit * factor, text("noise x %g agrees with plain fp32: %.2e", factor, d));
  }
  network[net::kTconv2.weight + 12345] = INFINITY;
  b.load(network);
  const std::vector<float> infinite = generate(b, 3, noise.data());
  const std::vector<float> infinite_plain = generate_plainly(b, network, 3, noise.data());
  check(memcmp(infinite.data(), infinite_plain.data(), infinite.size() * 4) == 0,
        "a network with an infinity gives what plain fp32 gives");
}

// ---- Speed

double median_ms(int repeats, const std::function<void()>& work) {
  cudaEvent_t begin, end;
  CUDA_CHECK(cudaEventCreate(&begin));
  CUDA_CHECK(cudaEventCreate(&end));
  std::vector<float> times(repeats);
  work();
  for (float& t : times) {
    CUDA_CHECK(cudaEventRecord(begin));
    work();
    CUDA_CHECK(cudaEventRecord(end));
    CUDA_CHECK(cudaEventSynchronize(end));
    CUDA_CHECK(cudaEventElapsedTime(&t, begin, end));
  }
  CUDA_CHECK(cudaEventDestroy(begin));
  CUDA_CHECK(cudaEventDestroy(end));
  std::sort(times.begin(), times.end());
  return times[repeats / 2];
}

void bench(Bench& b, const std::vector<float>& network, FILE* json) {
  b.load(network);
  const double load_ms = median_ms(20, [&] {
    for (int layer = 0; layer < net::kLayers; ++layer) b.generator.load_layer(layer, b.network.floats(), nullptr);
  });
  b.load(network);
  printf("\nload_layer, all five: %.1f us on the device\n", load_ms * 1e3);
  if (json) fprintf(json, "{\"load_us\": %.1f, \"chunks\": [", load_ms * 1e3);
  const double macs[5] = {0.82e6, 37.9e6, 44.9e6, 48.6e6, 4.7e6};  // useful multiply-adds a face
  bool first = true;
  for (int n : {128, 256, 512, 1024, 2048, 4096}) {
    const std::vector<float> noise = random_noise(n, n);
    Chunk chunk(b, n);
    chunk.set(noise.data());
    const Workspace where(n);
    char* base = chunk.workspace.bytes();
    Tested& g = b.generator;
    auto all = [&] { g.generate(n, chunk.noise.floats(), chunk.faces.floats(), base, nullptr, nullptr); };
    all();
    const int repeats = std::max(5, 8192 / n);
    auto layer_ms = [&](const std::function<void()>& launch) {
      int* next_tile = reinterpret_cast<int*>(base + where.next_tile);
      return median_ms(9, [&] {
        CUDA_CHECK(cudaMemsetAsync(next_tile, 0, net::kLayers * sizeof(int), nullptr));
        launch();
      });
    };
    double ms[5];
    ms[0] = layer_ms([&] { g.launch_product<0>(n, base, where, nullptr, nullptr); });
    ms[1] = layer_ms([&] { g.launch_product<1>(n, base, where, nullptr, nullptr); });
    ms[2] = layer_ms([&] { g.launch_product<2>(n, base, where, nullptr, nullptr); });
    ms[3] = layer_ms([&] { g.launch_product<3>(n, base, where, nullptr, nullptr); });
    ms[4] = layer_ms([&] { g.launch_image(n, base, where, chunk.faces.floats(), nullptr, nullptr); });
    CUDA_CHECK(cudaDeviceSynchronize());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // one chunk on a cool chip, then many
    const double one = median_ms(9, all);
    const double steady = median_ms(5,
                                    [&] {
                                      for (int i = 0; i < repeats; ++i) all();
                                    }) /
                          repeats;
    printf("n = %4d: one chunk %.3f ms, steady %.3f ms = %.0f faces/s\n", n, one, steady, n / steady * 1e3);
    if (json)
      fprintf(json, "%s{\"faces\": %d, \"ms\": %.4f, \"steady_ms\": %.4f, \"faces_per_s\": %.0f, \"layers\": [",
              first ? "" : ", ", n, one, steady, n / steady * 1e3);
    first = false;
    for (int layer = 0; layer < 5; ++layer) {
      const double tflops = (in_8_bits(kEightLayers, layer) ? 2 : 3) * 2 * macs[layer] * n / ms[layer] * 1e-9;
      printf("   %-7s %8.1f us  %6.1f TFLOP/s of fp16 products, %4.1f%% of the peak\n", net::kTable.layer[layer].name,
             ms[layer] * 1e3, tflops, tflops * 1e14 / (3 * g.peak_flops()));
      if (json)
        fprintf(json, "%s{\"layer\": \"%s\", \"us\": %.1f, \"tflops_fp16\": %.1f}", layer ? ", " : "",
                net::kTable.layer[layer].name, ms[layer] * 1e3, tflops);
    }
    if (json) fprintf(json, "]}");
    fflush(stdout);
  }
  if (json) fprintf(json, "]}\n");
}

// [network.bin [part [measurements.json]]]; part: launches, shipped, random, hard, chunks, many, overflow, bench
int run(int argc, char** argv) {
  try {
    const char* path = argc > 1 ? argv[1] : "network.bin";
    cudaDeviceProp device;
    CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
    printf("%s, %d multiprocessors\n", device.name, device.multiProcessorCount);
    std::unique_ptr<Generator> generator = make_tested(device);
    if (!generator) {
      printf("SKIPPED: %s cannot run these kernels\n0 passed, 1 failed\n", device.name);
      return 1;
    }
    Bench b(std::move(generator));
    const std::vector<float> shipped = read_network(path);
    const std::string part = argc > 2 ? argv[2] : "all";
    auto wanted = [&](const char* name) { return part == "all" || part == name; };
    if (wanted("launches")) test_launches(b, shipped);
    if (wanted("shipped")) test_network(b, "shipped", shipped, 300);
    for (const int n : {1, 7, 129, 1000})
      if (wanted("random")) test_network(b, text("random, N = %d", n).c_str(), random_network(1, false), n);
    if (wanted("hard")) test_network(b, "hard", random_network(2, true), 257);
    if (wanted("many")) test_many(b, shipped);
    if (wanted("chunks")) test_chunks(b, shipped);
    if (wanted("overflow")) test_overflow(b, shipped);
    if (wanted("bench")) {
      FILE* json = argc > 3 ? fopen(argv[3], "w") : nullptr;
      bench(b, shipped, json);
      if (json) fclose(json);
    }
  } catch (const Failure& failure) {
    check(false, failure.what());
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}

}  // namespace

#endif  // FACEGEN_TESTS_TENSOR_CORE_CHECKS_H_
