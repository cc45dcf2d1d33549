// One kind of kernels for tensor cores: its maps and faces against float64, layer by layer and as a whole, on the
// shipped network, random and hard ones; all faces against plain fp32; the same bytes for every chunk.
//
//   test_tensor_cores fast|accurate|precise [--small]
//     --small: every launch once, on a chunk that fills no tile, for compute-sanitizer
//
// A plain program, so that it builds wherever nvcc is. Last line: "N passed, N failed". Exit status 0 only if none
// failed.
#include <cuda_runtime.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "common/failure.h"
#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "kernels/split/network.cuh"
#include "network.h"
#include "tests/float64_reference.h"
#include "tests/gpu_checks.h"
#include "tests/random_network.h"

namespace {

// What a value of a face may be off by, for noise as kernels/gpu.cu gives it to the kind.
constexpr double kLimit = 2e-4;

struct Tested {
  const char* name;
  std::unique_ptr<Generator> (*make)(const cudaDeviceProp& device);
  bool uniform;      // noise from -1 to 1; else normal
  double map_limit;  // rms error of a map, as a share of its rms
};
constexpr Tested kTested[] = {{"fast", make_fast_generator, true, 2.4e-5},
                              {"accurate", make_accurate_generator, false, 1.2e-5},
                              {"precise", make_precise_generator, false, 3e-6}};

// A generator with a network loaded, and its chunks' memory, all NaN before each.
class Bench {
 public:
  explicit Bench(std::unique_ptr<Generator> generator) : generator_(std::move(generator)) {}

  Generator& generator() { return *generator_; }
  bool unfit_network() const { return flags()[0] != 0; }
  int unfit_faces(int n) const {
    int count = 0;
    for (int i = 1; i <= n; ++i) count += flags()[i] != 0;
    return count;
  }

  void load(const std::vector<float>& values) {
    CUDA_CHECK(cudaMemcpy(network_.floats(), values.data(), net::kNetworkBytes, cudaMemcpyHostToDevice));
    flags()[0] = 0;
    for (int layer = 0; layer < net::kLayers; ++layer)
      generator_->load_layer(layer, network_.floats(), flags(), nullptr);
    CUDA_CHECK(cudaDeviceSynchronize());
  }

  // noise (n, 100) -> faces (n, 64, 64, 3)
  std::vector<float> generate(int n, const float* noise) {
    const std::size_t bytes = std::size_t(n) * net::kFaceFloats * sizeof(float);
    noise_ = std::make_unique<DeviceMemory>(n * net::kNoise * sizeof(float));
    faces_ = std::make_unique<DeviceMemory>(bytes);
    workspace_ = std::make_unique<DeviceMemory>(generator_->workspace_bytes(n));
    CUDA_CHECK(cudaMemcpy(noise_->floats(), noise, n * net::kNoise * sizeof(float), cudaMemcpyHostToDevice));
    CUDA_CHECK(cudaMemset(faces_->bytes(), 0xff, bytes));
    CUDA_CHECK(cudaMemset(workspace_->bytes(), 0xff, generator_->workspace_bytes(n)));
    for (int i = 1; i <= n; ++i) flags()[i] = 0;
    const Chunk chunk = {n, noise_->floats(), nullptr, faces_->floats(), workspace_->bytes(), flags() + 1};
    for (int layer = 0; layer < net::kLayers; ++layer) {
      generator_->launch_layer(layer, chunk, nullptr);
      const cudaError_t error = cudaDeviceSynchronize();  // one by one, so that one that fails is named
      check(error == cudaSuccess, text("%s runs: %s", net::kTable.layer[layer].name, cudaGetErrorString(error)));
    }
    std::vector<float> faces(bytes / sizeof(float));
    CUDA_CHECK(cudaMemcpy(faces.data(), faces_->floats(), bytes, cudaMemcpyDeviceToHost));
    return faces;
  }

  // Input map of a layer, of the chunk before.
  std::vector<char> map(int layer, int n) const {
    const Workspace where(n);
    std::vector<char> map((layer + 1 < net::kLayers ? where.map[layer + 1] : where.sums) - where.map[layer]);
    CUDA_CHECK(cudaMemcpy(map.data(), workspace_->bytes() + where.map[layer], map.size(), cudaMemcpyDeviceToHost));
    return map;
  }

 private:
  static constexpr int kMostFaces = 4096;
  int* flags() const { return reinterpret_cast<int*>(flags_.bytes()); }

  const std::unique_ptr<Generator> generator_;
  const DeviceMemory network_{net::kNetworkBytes};
  const PinnedMemory flags_{(1 + kMostFaces) * sizeof(int)};  // of the network, and of each face
  std::unique_ptr<DeviceMemory> noise_, faces_, workspace_;
};

std::vector<float> generate_exactly(const std::vector<float>& network, int n, const float* noise) {
  cudaDeviceProp device;
  CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  Bench exact(make_exact_generator(device));
  exact.load(network);
  return exact.generate(n, noise);
}

double from_e4m3(char bits) {
  __nv_fp8_e4m3 value;
  value.__x = __nv_fp8_storage_t(bits);
  return double(float(value));
}

// The value that a row of a map keeps for channel c of C.
double kept(const char* row, int C, int c, bool eight) {
  const auto half = [&](int byte) { return double(__half2float(*reinterpret_cast<const __half*>(row + byte))); };
  const double lo = eight ? std::ldexp(from_e4m3(row[first8_byte(C, c)]), -kLo8Exponent) : half(lo16_byte(c));
  return half(hi_byte(eight, c)) + lo + map_offset(eight);
}

// One network: n faces against plain fp32, some against float64, and their maps too.
void test_network(Bench& bench, const Tested& tested, const char* name, const std::vector<float>& network, int n) {
  const auto& generator = dynamic_cast<SplitGenerator&>(bench.generator());
  bench.load(network);
  const bool fit = !bench.unfit_network();  // else its faces are left to more exact kernels
  if (!std::strcmp(name, "shipped")) check(fit, "the shipped network is fit");
  const std::vector<float> noise = random_noise(7, 0, n, tested.uniform);
  const std::vector<float> faces = bench.generate(n, noise.data());
  check(bench.unfit_faces(n) == 0, text("%s: %d faces are unfit", name, bench.unfit_faces(n)));

  const int picks = std::min(n, 16);
  std::vector<std::vector<std::vector<double>>> truth(picks);  // [face][layer]
  const auto pick = [&](int i) { return int((n - 1L) * i / std::max(picks - 1, 1)); };
  in_parallel(picks, [&](int i) {
    const float* of_face = &noise[std::size_t(pick(i)) * net::kNoise];
    std::vector<double> map(of_face, of_face + net::kNoise);
    for (const net::Layer& l : net::kTable.layer) truth[i].push_back(map = reference_layer(l, network.data(), map));
  });

  std::vector<Channels> channels(4);
  CUDA_CHECK(cudaMemcpy(channels.data(), generator.channels(), 4 * sizeof(Channels), cudaMemcpyDeviceToHost));
  for (int layer = 1; layer < net::kLayers; ++layer) {
    const net::Layer& l = net::kTable.layer[layer];
    const std::vector<char> map = bench.map(layer, n);
    double square = 0, error = 0;
    for (int i = 0; i < picks; ++i) {
      for (int p = 0; p < l.H * l.W; ++p) {
        const char* row = &map[(std::size_t(p) * n + pick(i)) * split_row_bytes(l.C)];
        for (int c = 0; c < l.C; ++c) {
          const double value = kept(row, l.C, c, in_8_bits(generator.eight_layers(), layer));
          const double t = truth[i][layer - 1][std::size_t(p) * l.C + c];
          const double d = std::ldexp(value, -channels[layer - 1].exponent[c]) - t;
          square += t * t;
          error += d * d;
        }
      }
    }
    const double relative = std::sqrt(error / square);
    std::printf("%s, N = %d: input of %s, rms error / rms %.2e\n", name, n, l.name, relative);
    check(relative < tested.map_limit, text("%s: input of %s, rms error / rms %.2e", name, l.name, relative));
  }
  double worst = 0;
  for (int i = 0; i < picks; ++i)
    worst = std::max(
        worst, worst_error(&faces[std::size_t(pick(i)) * net::kFaceFloats], truth[i][4].data(), net::kFaceFloats));
  const double all = worst_error(faces.data(), generate_exactly(network, n, noise.data()).data(), faces.size());
  std::printf("%s, N = %d: worst error %.2e of %d faces, worst difference from fp32 %.2e\n", name, n, worst, picks,
              all);
  check(!fit || (worst <= kLimit && all <= kLimit),
        text("%s: worst error %.2e, worst difference %.2e", name, worst, all));
}

// The bytes of a face depend neither on the chunk's size nor on its place in it.
void test_chunks(Bench& bench, const std::vector<float>& network) {
  bench.load(network);
  const int n = 1024, first = 13;
  const std::vector<float> noise = random_noise(11, 0, n);
  const std::vector<float> whole = bench.generate(n, noise.data());
  check(same_bytes(whole, bench.generate(n, noise.data())), "the same chunk twice gives the same bytes");
  for (const int size : {1, 3, 7, 64, 129, 500, 1000}) {
    const std::vector<float> part = bench.generate(size, &noise[first * net::kNoise]);
    check(std::memcmp(part.data(), &whole[std::size_t(first) * net::kFaceFloats], part.size() * sizeof(float)) == 0,
          text("faces 13 .. %d as a chunk of their own give the same bytes", first + size - 1));
  }
}

int run(int argc, char** argv) {
  const Tested* tested = nullptr;
  for (const Tested& kind : kTested)
    if (argc > 1 && kind.name == std::string(argv[1])) tested = &kind;
  if (!tested) throw Failure(kUsage, "usage: test_tensor_cores fast|accurate|precise [--small]");
  cudaDeviceProp device;
  CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  std::unique_ptr<Generator> generator = tested->make(device);
  if (!generator) throw Failure(kMachine, std::string(device.name) + " cannot run these kernels");
  Bench bench(std::move(generator));
  const std::vector<float> shipped = read_network("network.bin");
  if (argc > 2) {
    bench.load(shipped);
    bench.generate(130, random_noise(3, 0, 130).data());
    return failed != 0;
  }
  test_network(bench, *tested, "shipped", shipped, 300);
  for (const int n : {1, 7, 129, 1000}) test_network(bench, *tested, "random", random_network(1, Statistics::kSane), n);
  test_network(bench, *tested, "hard", random_network(2, Statistics::kHard), 257);
  test_chunks(bench, shipped);
  return failed != 0;
}

}  // namespace

int main(int argc, char** argv) { return run_checks(run, argc, argv); }
