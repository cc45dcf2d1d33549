// The CPU backend (cpu/) through its doors, open_cpu(): against a plain float64 network, in every instruction set that
// this CPU has, and byte for byte the same for every number of threads and every way of cutting a run into chunks.
// The kernels for AMX run everywhere, on emulated tiles; and on AMX itself where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/failure.h"
#include "cpu/cpu_device.h"
#include "network.h"
#include "run/device.h"
#include "tests/emulated_amx.h"

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

// ---- Random data

// A network whose activations stay around 1 and whose outputs spread over (-1, 1).
Floats random_network(unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
  Floats network(net::kNetworkFloats);
  for (int i = 0; i < net::kLayers; ++i) {
    const net::Layer& l = net::kTable.layer[i];
    // An output pixel of a tconv sums over 25 / 4 taps on average; half of what comes in is zero (ReLU).
    const double deviation = i == 0 ? 1 / std::sqrt(l.C) : std::sqrt(4.0 / 25 / l.C * (l.batch_norm ? 2 : 0.5));
    for (std::size_t at = l.weight; at < l.bias; ++at) network[at] = float(deviation) * normal(random);
    const std::size_t biases = i == 0 ? std::size_t(l.out_H) * l.out_W * l.K : l.K;
    for (std::size_t k = 0; k < biases; ++k) network[l.bias + k] = 0.2f * normal(random);
    for (int k = 0; l.batch_norm && k < l.K; ++k) {
      network[l.beta + k] = 0.3f * normal(random);
      network[l.gamma + k] = uniform(random);
      network[l.mean + k] = 0.2f * normal(random);
      network[l.var + k] = uniform(random);
    }
  }
  return network;
}

Floats random_noise(int n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Floats noise(std::size_t(n) * net::kNoise);
  for (float& value : noise) value = normal(random);
  return noise;
}

// ---- The reference: SPEC 1 word for word, in float64

Doubles reference_face(const Floats& network, const float* noise) {
  const auto batch_norm_relu = [&](const net::Layer& l, Doubles& map) {
    for (std::size_t i = 0; i < map.size(); ++i) {
      const int k = int(i % l.K);
      const double s = network[l.gamma + k] / std::sqrt(network[l.var + k] + 1e-5);
      map[i] = std::max(0.0, s * map[i] + (network[l.beta + k] - s * network[l.mean + k]));
    }
  };

  const net::Layer& proj = net::kProj;
  Doubles map(std::size_t(proj.out_H) * proj.out_W * proj.K);
  for (std::size_t k = 0; k < map.size(); ++k) {
    map[k] = network[proj.bias + k];
    for (int c = 0; c < proj.C; ++c) map[k] += double(noise[c]) * network[proj.weight + c * map.size() + k];
  }
  batch_norm_relu(proj, map);

  for (int i = 1; i < net::kLayers; ++i) {
    const net::Layer& l = net::kTable.layer[i];
    Doubles out(std::size_t(l.out_H) * l.out_W * l.K);
    for (int h = 0; h < l.H; ++h) {
      for (int w = 0; w < l.W; ++w) {
        const double* in = &map[std::size_t(h * l.W + w) * l.C];
        for (int r = 0; r < 5; ++r) {
          for (int s = 0; s < 5; ++s) {
            const int y = 2 * h + r - 1, x = 2 * w + s - 1;
            if (y < 0 || y >= l.out_H || x < 0 || x >= l.out_W) continue;
            for (int k = 0; k < l.K; ++k) {
              const float* weight = &network[l.weight + (std::size_t(r * 5 + s) * l.K + k) * l.C];
              double sum[4] = {};
              for (int c = 0; c < l.C; c += 4) {
                for (int j = 0; j < 4; ++j) sum[j] += in[c + j] * weight[c + j];
              }
              out[std::size_t(y * l.out_W + x) * l.K + k] += sum[0] + sum[1] + sum[2] + sum[3];
            }
          }
        }
      }
    }
    for (std::size_t at = 0; at < out.size(); ++at) out[at] += network[l.bias + at % l.K];
    if (l.batch_norm) batch_norm_relu(l, out);
    map = std::move(out);
  }
  for (double& y : map) y = std::tanh(y);
  return map;
}

// ---- Devices

const std::string kEmulated = "emulated_amx";

std::unique_ptr<Device> open_with(const std::string& isa, int threads) {
  if (isa == kEmulated) return open_cpu(emulated_amx_kernels(), threads);
  setenv("FACEGEN_CPU", isa.c_str(), 1);
  std::unique_ptr<Device> device = open_cpu(threads);
  unsetenv("FACEGEN_CPU");
  return device;
}

// All n faces, `chunk` at a time (0: as many as the device takes).
Floats generate(Device& device, const Floats& noise, int chunk = 0) {
  const int n = int(noise.size() / net::kNoise);
  Floats faces(std::size_t(n) * net::kFaceFloats, std::numeric_limits<float>::quiet_NaN());
  if (chunk == 0) chunk = device.chunk_faces();
  for (int first = 0; first < n; first += chunk) {
    device.start(0, std::min(chunk, n - first), &noise[std::size_t(first) * net::kNoise],
                 &faces[std::size_t(first) * net::kFaceFloats]);
    device.finish(0);
  }
  return faces;
}

bool same_bytes(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Linux names AMX among a CPU's flags where both have it.
bool amx_here() {
  std::ifstream file("/proc/cpuinfo");
  bool tile = false, bf16 = false;
  for (std::string word; file >> word && !(tile && bf16);) {
    tile |= word == "amx_tile";
    bf16 |= word == "amx_bf16";
  }
  return tile && bf16;
}

// Every instruction set of this CPU; the build must have code for each.
std::vector<std::string> instruction_sets() {
  std::vector<std::string> sets = {"plain", kEmulated};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back("avx2");
  if (__builtin_cpu_supports("avx512f")) sets.push_back("avx512");
  if (amx_here()) sets.push_back("amx");
#endif
  return sets;
}

class Cpu : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(InstructionSets, Cpu, testing::ValuesIn(instruction_sets()),
                         [](const auto& info) { return info.param; });

TEST_P(Cpu, AgreesWithFloat64) {
  const Floats network = random_network(1);
  const Floats noise = random_noise(129, 2);
  const auto device = open_with(GetParam(), 2);
  device->load_network(network.data());

  const auto check = [&](const Floats& faces, int face) {
    static std::vector<Doubles> known(129);  // shared by the instruction sets
    if (known[face].empty()) known[face] = reference_face(network, &noise[std::size_t(face) * net::kNoise]);
    double worst = 0, squares = 0, spread = 0;
    for (int i = 0; i < net::kFaceFloats; ++i) {
      const float y = faces[std::size_t(face) * net::kFaceFloats + i];
      ASSERT_FALSE(std::isnan(y)) << "value " << i << " of face " << face;
      const double error = y - known[face][i];
      worst = std::max(worst, std::fabs(error));
      squares += error * error;
      spread += std::fabs(known[face][i]);
    }
    EXPECT_LE(worst, 1e-5) << "face " << face << " of " << faces.size() / net::kFaceFloats;
    // One long chain of additions a pixel gives 4.4e-7 here, and on a trained network a worst error past 1e-5.
    EXPECT_LE(std::sqrt(squares / net::kFaceFloats), 3e-7) << "face " << face << ": rounding errors pile up";
    EXPECT_GT(spread / net::kFaceFloats, 0.1) << "the test's network says nothing";
  };
  const auto first = [&](int n) { return Floats(noise.begin(), noise.begin() + n * net::kNoise); };
  check(generate(*device, first(1)), 0);
  const Floats seven = generate(*device, first(7));
  for (const int face : {0, 3, 6}) check(seven, face);
  const Floats all = generate(*device, noise);
  for (const int face : {0, 13, 64, 128}) check(all, face);
}

TEST_P(Cpu, BytesDependOnNeitherThreadsNorChunks) {
  const Floats network = random_network(3);
  const bool slow = GetParam() == kEmulated;
  const Floats noise = random_noise(slow ? 21 : 43, 4);
  Floats expected;
  for (const int threads : slow ? std::vector<int>{1, 2} : std::vector<int>{1, 2, 3, 5}) {
    const auto device = open_with(GetParam(), threads);
    device->load_network(network.data());
    if (threads == 1) expected = generate(*device, noise);
    for (const int chunk : {0, 5, 13}) {
      if (chunk == 0 || (threads != 3 && !(slow && chunk == 5))) {
        EXPECT_TRUE(same_bytes(generate(*device, noise, chunk), expected)) << threads << " threads, chunk " << chunk;
      }
    }
    const Floats few(noise.begin(), noise.begin() + 4 * net::kNoise);
    EXPECT_TRUE(
        same_bytes(generate(*device, few, 1), Floats(expected.begin(), expected.begin() + 4 * net::kFaceFloats)))
        << threads << " threads, face by face";
  }
}

TEST_P(Cpu, TakesAnotherNetwork) {
  const Floats noise = random_noise(3, 5);
  const auto device = open_with(GetParam(), 2);
  device->load_network(random_network(6).data());
  const Floats before = generate(*device, noise);
  device->load_network(random_network(7).data());
  EXPECT_FALSE(same_bytes(generate(*device, noise), before));
  device->load_network(random_network(6).data());
  EXPECT_TRUE(same_bytes(generate(*device, noise), before));
}

// A network that hands its noise through to the tanh, bit for bit: noise value p < 16 is what every pixel above
// position p of the 4x4 map gets, in channel 0 as it is, in channel 1 with the other sign, in channel 2 halved.
Floats pass_through_network() {
  Floats network(net::kNetworkFloats, 0.0f);
  for (int i = 0; i < net::kLayers; ++i) {
    const net::Layer& l = net::kTable.layer[i];
    for (int k = 0; l.batch_norm && k < l.K; ++k) {
      network[l.gamma + k] = 1.0f;
      network[l.var + k] = float(1 - 1e-5);  // scale 1
    }
    if (i == 0) {
      for (int p = 0; p < 16; ++p) network[l.weight + std::size_t(p) * 8192 + p * l.K] = 1.0f;
      continue;
    }
    for (const int tap : {1 * 5 + 1, 1 * 5 + 2, 2 * 5 + 1, 2 * 5 + 2}) {  // each pixel of a 2x2 block has one
      const float gains[] = {1.0f, -1.0f, 0.5f};
      for (int k = 0; k < (l.batch_norm ? 1 : 3); ++k) {
        network[l.weight + (std::size_t(tap) * l.K + k) * l.C] = gains[k];
      }
    }
  }
  return network;
}

TEST_P(Cpu, TanhIsAccurate) {
  std::vector<float> values = {0.0f, 1e-38f, 1e-20f, 1e-4f, 0.62499994f, 0.625f, 0.62500006f, 9.0f, 9.01f, 9.02f, 9.5f};
  const bool slow = GetParam() == kEmulated;  // to 11.5 all the same
  for (float x = 0.001f; values.size() < (slow ? 16 * 10 : 16 * 100); x *= slow ? 1.064f : 1.0059f) values.push_back(x);
  const int n = int(values.size() / 16);
  Floats noise(std::size_t(n) * net::kNoise, 0.0f);
  for (int i = 0; i < n * 16; ++i) noise[std::size_t(i / 16) * net::kNoise + i % 16] = values[i];

  const auto device = open_with(GetParam(), 2);
  device->load_network(pass_through_network().data());
  const Floats faces = generate(*device, noise);
  const double flushed = GetParam().find("amx") == std::string::npos ? 0 : 1.2e-38;  // AMX takes denormals as 0
  double worst = 0;
  for (std::size_t at = 0; at < faces.size(); ++at) {
    const int k = int(at % 3), x = int(at / 3 % 64), y = int(at / 192 % 64), face = int(at / net::kFaceFloats);
    const float in = values[face * 16 + y / 16 * 4 + x / 16] * (k == 0 ? 1.0f : k == 1 ? -1.0f : 0.5f);
    const double expected = std::tanh(double(in));
    const double ulp = std::nextafter(std::fabs(float(expected)), 2.0f) - std::fabs(float(expected));
    const double error = std::max(0.0, std::fabs(faces[at] - expected) - flushed) / ulp;
    ASSERT_LE(error, 3.0) << "tanh(" << in << ") came out as " << faces[at] << ", pixel (" << y << ", " << x << ", "
                          << k << ") of face " << face;
    worst = std::max(worst, error);
  }
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST_P(Cpu, SaturatesWithoutNaN) {
  const auto device = open_with(GetParam(), 1);
  device->load_network(pass_through_network().data());
  const float largest = std::numeric_limits<float>::max();
  Floats noise(net::kNoise, 0.0f);
  for (int p = 0; p < 16; ++p) noise[p] = p % 2 ? 12.0f + float(p) : largest / float(p + 1);
  const Floats faces = generate(*device, noise);
  for (std::size_t at = 0; at < faces.size(); ++at) {
    if (at % 3 < 2) {
      ASSERT_EQ(faces[at], at % 3 == 0 ? 1.0f : -1.0f) << "value " << at;
    }
  }

  device->load_network(random_network(8).data());
  Floats huge = random_noise(2, 9);
  for (float& value : huge) value *= 1e25f;
  for (const float y : generate(*device, huge)) ASSERT_LE(std::fabs(y), 1.0f);
}

TEST(CpuDevice, SaysWhatItIs) {
  const auto device = open_with("plain", 3);
  EXPECT_EQ(device->name(), "CPU (3 threads, plain)");
  EXPECT_EQ(open_with("plain", 1)->name(), "CPU (1 thread, plain)");
  EXPECT_EQ(device->slots(), 1);
  EXPECT_GE(device->speed(), 1);
  EXPECT_GE(device->chunk_faces(), 1);
  EXPECT_GE(open_cpu(0)->chunk_faces(), 1);
}

TEST(CpuDevice, RunsAmxWhereThereIsOne) {
  if (!amx_here()) {
    EXPECT_THROW(open_with("amx", 1), Failure);
    unsetenv("FACEGEN_CPU");
    GTEST_SKIP() << "this CPU has no AMX: its kernels were tested on emulated tiles alone";
  }
  EXPECT_EQ(open_with("amx", 2)->name(), "CPU (2 threads, amx)");
  EXPECT_EQ(open_cpu(2)->name(), "CPU (2 threads, amx)");  // the first choice
}

TEST(CpuDevice, RefusesUnknownInstructionSet) {
  try {
    open_with("avx1024", 1);
    FAIL() << "accepted";
  } catch (const Failure& failure) {
    unsetenv("FACEGEN_CPU");
    EXPECT_EQ(failure.status(), kUsage);
    EXPECT_NE(std::string(failure.what()).find("avx1024"), std::string::npos) << failure.what();
  }
}

}  // namespace
