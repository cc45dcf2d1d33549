// The GPU backend against the float64 reference: each fp32 layer by itself, and the whole network through Device with
// whatever kernels the GPU prefers (or FACEGEN_KERNELS names).
//
//   test_gpu [--small] [--layer I] [--tolerance T]
//     --small: a few faces, for compute-sanitizer; --layer: no more than that fp32 layer, 0 to 4; --tolerance: what the
//     whole network may be off by (default 1e-5)
//
// A plain program, so that it builds wherever nvcc is. Last line: "N passed, N failed". Exit status 0 only if none
// failed.
#include <cuda_runtime.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/failure.h"
#include "kernels/cuda_memory.h"
#include "kernels/fp32/image.cuh"
#include "kernels/fp32/pack.cuh"
#include "kernels/fp32/proj.cuh"
#include "kernels/fp32/tconv.cuh"
#include "network.h"
#include "run/device.h"
#include "tests/float64_reference.h"
#include "tests/gpu_checks.h"
#include "tests/random_network.h"

namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

// ---- Layers, one by one

// Faces of a map on the GPU, (H, W, C, padded n).
std::size_t padded(int n) { return std::size_t(n + 3) / 4 * 4; }

std::vector<float> to_host(const DeviceMemory& from, std::size_t floats) {
  std::vector<float> host(floats);
  CUDA_CHECK(cudaMemcpy(host.data(), from.floats(), floats * sizeof(float), cudaMemcpyDeviceToHost));
  return host;
}

void to_device(const std::vector<float>& from, const DeviceMemory& to) {
  CUDA_CHECK(cudaMemcpy(to.floats(), from.data(), from.size() * sizeof(float), cudaMemcpyHostToDevice));
}

void test_layer(int layer, int n, const std::vector<float>& network, double tolerance) {
  const net::Layer& l = net::kTable.layer[layer];
  const bool first = layer == 0, last = layer == net::kLayers - 1;
  const std::size_t in_values = std::size_t(l.H) * l.W * l.C, out_values = std::size_t(l.out_H) * l.out_W * l.K;

  // Inputs of each face: noise, or what ReLU might leave.
  std::vector<float> in(in_values * n);  // (n, in_values)
  Random random(77 + layer);
  for (float& value : in) value = float(first ? random.normal(0, 1) : std::max(random.normal(0, 1), 0.0));
  std::vector<float> laid_out = in;
  if (!first) {
    laid_out.assign(in_values * padded(n), 0.f);
    for (std::size_t i = 0; i < in.size(); ++i) laid_out[i % in_values * padded(n) + i / in_values] = in[i];
  }

  const std::size_t biases = first ? out_values : l.K;
  const DeviceMemory network_on_gpu(net::kNetworkBytes), in_on_gpu(laid_out.size() * sizeof(float));
  const DeviceMemory weight(net::kNetworkBytes), scale(biases * sizeof(float)), shift(biases * sizeof(float));
  const std::size_t out_floats = out_values * (last ? n : padded(n));
  const DeviceMemory out_on_gpu(out_floats * sizeof(float));
  to_device(network, network_on_gpu);
  to_device(laid_out, in_on_gpu);
  to_device(std::vector<float>(out_floats, kPoison), out_on_gpu);
  Stream stream;
  const float* bias = network_on_gpu.floats() + l.bias;
  if (l.batch_norm) fold(l, int(biases), network_on_gpu.floats(), scale.floats(), shift.floats(), stream);
  if (!first && !last) pack_tconv(l, network_on_gpu.floats(), weight.floats(), stream);
  if (last) pack_image(l, network_on_gpu.floats(), weight.floats(), stream);
  const float *x = in_on_gpu.floats(), *w = weight.floats(), *a = scale.floats(), *b = shift.floats();
  float* y = out_on_gpu.floats();
  if (layer == 0) proj(n, x, nullptr, network_on_gpu.floats() + l.weight, a, b, y, stream);
  if (layer == 1) tconv<1>(n, x, w, a, b, y, stream);
  if (layer == 2) tconv<2>(n, x, w, a, b, y, stream);
  if (layer == 3) tconv<3>(n, x, w, a, b, y, stream);
  if (layer == 4) to_image(n, x, w, bias, y, nullptr, stream);
  stream.synchronize();
  const std::vector<float> out = to_host(out_on_gpu, out_floats);

  std::vector<int> faces = {0, n / 3, n - 1};  // the last two lie in the last quad
  if (n > 1) faces.push_back(n - 2);
  std::vector<double> errors(faces.size());
  in_parallel(int(faces.size()), [&](int i) {
    const int face = faces[i];
    const std::vector<double> of_face(in.begin() + face * in_values, in.begin() + (face + 1) * in_values);
    std::vector<float> result(out_values);
    for (std::size_t o = 0; o < out_values; ++o)
      result[o] = last ? out[face * out_values + o] : out[o * padded(n) + face];
    errors[i] = worst_error(result.data(), reference_layer(l, network.data(), of_face).data(), out_values);
  });
  const double worst = *std::max_element(errors.begin(), errors.end());
  std::printf("%-6s n = %4d  worst error %.2e\n", l.name, n, worst);
  check(complete(out), text("%s, n = %d: every value of the output is written", l.name, n));
  check(worst <= tolerance, text("%s, n = %d: worst error %.3g exceeds %.3g", l.name, n, worst, tolerance));
}

// ---- The whole network, through Device

struct Run {
  std::vector<int> chunks;  // sizes that take turns; empty: as large as the device takes them
  bool pinned = false;
};

// Faces of the noise (n, 100) by the network that is loaded, all slots in use.
std::vector<float> generate(Device& device, const std::vector<float>& noise, const Run& run) {
  const int n = int(noise.size() / net::kNoise);
  const std::size_t floats = std::size_t(n) * net::kFaceFloats;
  std::vector<float> faces(floats + 1, kPoison);  // one more, so that an empty vector has an address
  float* to = faces.data();
  std::unique_ptr<PinnedMemory> pinned;
  if (run.pinned) {
    pinned = std::make_unique<PinnedMemory>((floats + 1) * sizeof(float));
    to = reinterpret_cast<float*>(pinned->bytes());
    std::fill(to, to + floats + 1, kPoison);
  }

  int started = 0, finished = 0;
  for (int face = 0; face < n || started == 0;) {
    const int wanted = run.chunks.empty() ? device.chunk_faces() : run.chunks[started % run.chunks.size()];
    const int chunk = std::min({wanted, device.chunk_faces(), n - face});
    if (started - finished == device.slots()) device.finish(finished++ % device.slots());
    device.start(started++ % device.slots(), chunk, noise.data() + std::size_t(face) * net::kNoise,
                 to + std::size_t(face) * net::kFaceFloats);
    face += chunk;
    if (n == 0) break;
  }
  while (finished < started) device.finish(finished++ % device.slots());

  if (run.pinned) std::copy(to, to + floats + 1, faces.begin());
  check(std::isnan(faces[floats]), "nothing is written past the last face");
  faces.pop_back();
  return faces;
}

void test_network(Device& device, const char* name, const std::vector<float>& network, const std::vector<int>& counts,
                  double tolerance) {
  device.load_network(network.data());
  const int most = *std::max_element(counts.begin(), counts.end());
  const std::vector<float> noise = random_noise(1, 0, most);

  // Faces to look at: ends of chunks, quads and tiles, and the last two of each count.
  std::vector<int> faces = {0, 1, 3, 4, 127, 128};
  for (const int n : counts) {
    faces.push_back(n - 1);
    faces.push_back(n - 2);
  }
  faces.erase(std::remove_if(faces.begin(), faces.end(), [most](int f) { return f < 0 || f >= most; }), faces.end());
  std::sort(faces.begin(), faces.end());
  faces.erase(std::unique(faces.begin(), faces.end()), faces.end());
  std::map<int, std::vector<double>> reference;
  for (const int face : faces) reference[face] = {};
  in_parallel(int(faces.size()), [&](int i) {
    reference.at(faces[i]) = reference_face(network.data(), &noise[std::size_t(faces[i]) * net::kNoise]);
  });

  double worst = 0;
  for (const int n : counts) {
    const std::vector<float> some(noise.begin(), noise.begin() + std::size_t(n) * net::kNoise);
    const std::vector<float> result = generate(device, some, {});
    check(complete(result, 1), text("%s, N = %d: every value is written, in -1 .. 1", name, n));
    for (const auto& [face, values] : reference) {
      if (face >= n) continue;
      worst = std::max(worst, worst_error(&result[std::size_t(face) * net::kFaceFloats], values.data(), values.size()));
    }
    check(worst <= tolerance, text("%s, N = %d: worst error %.3g exceeds %.3g", name, n, worst, tolerance));
  }
  std::printf("%-6s network, %d faces in float64: worst error %.2e\n", name, int(reference.size()), worst);
}

// The same bytes however the faces are cut into chunks, wherever they come from and go to.
void test_same_bytes(Device& device, const std::vector<float>& network, int n) {
  device.load_network(network.data());
  const std::vector<float> noise = random_noise(2, 0, n);
  const std::vector<float> whole = generate(device, noise, {});
  for (const std::vector<int>& chunks : {std::vector<int>{1}, {7, 2, 64}, {129, 0, 3}, {256, 17}}) {
    for (const bool pinned : {false, true}) {
      check(same_bytes(whole, generate(device, noise, {chunks, pinned})),
            "the same bytes in chunks of " + std::to_string(chunks[0]) + ", ... " + (pinned ? "pinned" : "pageable"));
    }
  }
}

// Networks follow each other, from pageable and pinned memory, with chunks right behind them.
void test_reload(Device& device, const std::vector<float>& a, const std::vector<float>& b) {
  const std::vector<float> noise = random_noise(3, 0, 5);
  device.load_network(a.data());
  const std::vector<float> faces_a = generate(device, noise, {});
  const PinnedMemory pinned(net::kNetworkBytes);
  float* pinned_b = reinterpret_cast<float*>(pinned.bytes());
  std::copy(b.begin(), b.end(), pinned_b);
  device.load_network(a.data());
  device.load_network(pinned_b);
  const std::vector<float> faces_b = generate(device, noise, {{2}});
  check(!same_bytes(faces_a, faces_b), "another network gives other faces");
  device.load_network(a.data());
  check(same_bytes(faces_a, generate(device, noise, {{2}})), "the first network again gives the first faces again");
  device.load_network(b.data());
  check(same_bytes(faces_b, generate(device, noise, {})), "the second network gives the same from pageable memory");
}

// ---- Which kernels compute a face

// Faces by one kind of kernels alone; empty where the GPU does not run it.
std::vector<float> generate_by(const char* kind, const std::vector<float>& network, const std::vector<float>& noise) {
  setenv("FACEGEN_KERNELS", kind, 1);
  std::vector<float> faces;
  try {
    const std::unique_ptr<Device> device = open_gpu(0);
    device->attach();
    device->load_network(network.data());
    faces = generate(*device, noise, {});
  } catch (const Failure&) {
  }
  unsetenv("FACEGEN_KERNELS");
  return faces;
}

bool same_face(const std::vector<float>& a, const std::vector<float>& b, int face) {
  const std::size_t first = std::size_t(face) * net::kFaceFloats;
  return !std::memcmp(&a[first], &b[first], net::kFaceFloats * sizeof(float));
}

std::map<std::string, std::int64_t> counts_by_kernels(const Device& device) {
  std::map<std::string, std::int64_t> counts;
  for (const KernelFaces& k : device.faces_by_kernel()) counts[k.kernels] = k.faces;
  return counts;
}

// Faces of every size of noise, in any order, each with the bytes of the kind that is fit for it; the same in any chunks,
// pinned or not. Networks that no fast kind is fit for: the bytes of the most exact one that is.
void test_kinds(Device& device, const std::vector<float>& network, int n) {
  const auto kinds = counts_by_kernels(device);
  const std::vector<float> sizes = {1, 0.01f, 1.3f, 20, 1, 1e4f, 1.2f, 1, 0, 1e30f};  // of normal noise x 0.6
  std::vector<float> noise = random_noise(8, 0, n), limits = {0.72f, 1.5f, 64};
  std::map<std::string, std::vector<float>> by_kind;
  for (int face = 0; face < n; ++face)
    for (int c = 0; c < net::kNoise; ++c) noise[face * net::kNoise + c] *= 0.6f * sizes[(face * 7 + face / 10) % 10];
  for (const char* kind : {"fast", "accurate", "precise", "exact"})
    if (kinds.count(kind)) by_kind[kind] = generate_by(kind, network, noise);

  device.load_network(network.data());
  const auto before = counts_by_kernels(device);
  const std::vector<float> faces = generate(device, noise, {});
  auto after = counts_by_kernels(device);
  std::map<std::string, std::int64_t> expected;
  int wrong = 0;
  for (int face = 0; face < n; ++face) {
    double square = 0;
    for (int c = 0; c < net::kNoise; ++c) square += std::pow(double(noise[face * net::kNoise + c]), 2);
    const double rms = std::sqrt(square / net::kNoise);
    const std::string kind = kinds.count("fast") && rms <= limits[0]       ? "fast"
                             : kinds.count("accurate") && rms <= limits[1] ? "accurate"
                             : kinds.count("precise") && rms <= limits[2]  ? "precise"
                                                                           : "exact";
    ++expected[kind];
    wrong += !same_face(faces, by_kind[kind], face);
  }
  check(wrong == 0, text("%d faces are not as the kind gives them that is fit for their noise", wrong));
  for (auto& entry : after) {
    const std::int64_t computed = entry.second - before.at(entry.first);
    std::printf("%s: %d of %d faces\n", entry.first.c_str(), int(computed), n);
    check(computed == expected[entry.first], entry.first + " computed as many faces as it is fit for");
  }
  for (const std::vector<int>& chunks : {std::vector<int>{1}, {7, 2, 64}, {129, 0, 3}})
    for (const bool pinned : {false, true})
      check(same_bytes(faces, generate(device, noise, {chunks, pinned})),
            text("mixed noise in chunks of %d, ...", chunks[0]));
  if (n < 100) return;

  // Larger gains, small noise with large weights, a weight that no split operand holds, channels that are all alike.
  const std::vector<float> usual = random_noise(9, 0, n, true);
  std::vector<float> huge = network;
  huge[net::kTconv2.weight + 12345] = 1e20f;
  const std::vector<float> alike = random_network(5, Statistics::kAlike);
  std::vector<float> small_noise = usual;
  for (float& x : small_noise) x *= 0x1p-20f;
  struct Case {
    const char* name;
    std::vector<float> network, noise;
    double limit;  // of the difference from fp32; 0: the same bytes
  } cases[] = {{"gain 3", with_gain(network, 3), usual, 4e-4},
               {"small noise, large weights", for_noise_times(network, 0x1p-20f), small_noise, 2e-4},
               {"a huge weight", huge, usual, 0},
               {"channels alike", alike, usual, 2e-4}};
  for (const Case& c : cases) {
    const std::vector<float> exact = generate_by("exact", c.network, c.noise);
    device.load_network(c.network.data());
    for (const bool pinned : {false, true}) {
      const std::vector<float> made = generate(device, c.noise, {{64}, pinned});
      const double worst =
          c.limit == 0 && same_bytes(made, exact) ? 0 : worst_error(made.data(), exact.data(), made.size());
      std::printf("%s: worst difference from fp32 %.2e\n", c.name, worst);
      check(worst <= c.limit, text("%s: worst difference from fp32 %.2e", c.name, worst));
      check(same_bytes(made, generate(device, c.noise, {})), text("%s: the same bytes in other chunks", c.name));
    }
  }
}

// ---- What goes wrong

void expect_failure(const std::string& what, const std::vector<std::string>& words, const std::function<void()>& work) {
  try {
    work();
    check(false, what + ": no Failure");
  } catch (const Failure& failure) {
    std::printf("%s: \"%s\"\n", what.c_str(), failure.what());
    for (const std::string& word : words) {
      check(std::string(failure.what()).find(word) != std::string::npos, what + ": the sentence says '" + word + "'");
    }
  }
}

__global__ void crash_kernel(float* nowhere) { *nowhere = 1; }

// A GPU that a kernel has crashed on: in a process of its own, as nothing works on it afterwards.
int crash(Device& device) {
  const std::vector<float> noise = random_noise(4, 0, 1);
  std::vector<float> face(net::kFaceFloats);
  crash_kernel<<<1, 1>>>(reinterpret_cast<float*>(0x40));
  cudaDeviceSynchronize();
  expect_failure("a crashed GPU", {"GPU 0", "kernels/gpu.cu:", "cudaErrorIllegalAddress", "("}, [&] {
    device.start(0, 1, noise.data(), face.data());
    device.finish(0);
  });
  return failed == 0 ? 0 : 1;
}

void test_failures(const std::string& self, bool small) {
  expect_failure("a GPU that is not there", {"GPU 99", "does not exist"}, [] { open_gpu(99); });
  const char* variable = std::getenv("FACEGEN_KERNELS");
  const std::string before = variable ? variable : "";
  setenv("FACEGEN_KERNELS", "abacus", 1);
  expect_failure("unknown kernels", {"FACEGEN_KERNELS", "abacus", "exact"}, [] { open_gpu(0); });
  before.empty() ? unsetenv("FACEGEN_KERNELS") : setenv("FACEGEN_KERNELS", before.c_str(), 1);
  if (small) return;

  std::size_t free = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  {
    const std::size_t left = std::size_t(40) << 20;
    const DeviceMemory hog(free - left);
    expect_failure("a full GPU", {"GPU 0", "out of memory", "MiB needed", "free"}, [] { open_gpu(0); });
  }
  open_gpu(0);  // throws, should the failed one have kept anything
  check(std::system((self + " --crash").c_str()) == 0, "a crashed GPU is reported well");
}

int run(int argc, char** argv) {
  bool small = false, crashes = false;
  int only_layer = -1;
  double tolerance = 1e-5;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--small")) small = true;
    if (!std::strcmp(argv[i], "--layer") && i + 1 < argc) only_layer = std::atoi(argv[++i]);
    if (!std::strcmp(argv[i], "--crash")) crashes = true;
    if (!std::strcmp(argv[i], "--tolerance") && i + 1 < argc) tolerance = std::atof(argv[++i]);
  }
  std::string why_not;
  if (count_gpus(&why_not) == 0) {
    std::printf("SKIPPED: no GPU here to test: %s\n", why_not.c_str());
    return 0;
  }

  const std::vector<float> sane = random_network(11, Statistics::kSane), hard = random_network(12, Statistics::kHard);
  if (!crashes) {
    const std::vector<int> layer_counts = small ? std::vector<int>{6} : std::vector<int>{1, 6, 129, 263};
    for (int layer = 0; layer < net::kLayers; ++layer) {
      if (only_layer >= 0 && layer != only_layer) continue;
      for (const int n : layer_counts) test_layer(layer, n, sane, 1e-5);
    }
    if (only_layer >= 0) return failed == 0 ? 0 : 1;
  }

  const std::unique_ptr<Device> device = open_gpu(0);
  device->attach();
  if (crashes) return crash(*device);
  std::printf("%s, %s, %d faces a chunk\n", gpu_about(), device->name().c_str(), device->chunk_faces());
  const std::vector<int> counts = small ? std::vector<int>{0, 1, 6} : std::vector<int>{0, 1, 7, 129, 1000};
  test_network(*device, "sane", sane, counts, tolerance);
  test_network(*device, "hard", hard, counts, tolerance);
  const std::vector<float> shipped = read_network("network.bin");
  test_network(*device, "shipped", shipped, counts, tolerance);
  test_same_bytes(*device, sane, small ? 10 : 600);
  test_reload(*device, sane, hard);
  if (!std::getenv("FACEGEN_KERNELS")) test_kinds(*device, shipped, small ? 12 : 400);
  test_failures(argv[0], small);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return run_checks(run, argc, argv); }
