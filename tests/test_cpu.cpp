// The CPU backend (cpu/) through its doors, open_cpu(): against a plain float64 network, in every instruction set that
// this CPU has, and byte for byte the same for every number of threads and every way of cutting a run into chunks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/failure.h"
#include "cpu/cpu_device.h"
#include "network.h"
#include "run/device.h"
#include "tests/float64_reference.h"
#include "tests/random_network.h"
#include "tests/support.h"

namespace {

using Doubles = std::vector<double>;

// ---- Devices

std::unique_ptr<Device> open_attached(const Kernels& kernels, int threads) {
  std::unique_ptr<Device> device = open_cpu(kernels, threads);
  device->attach();
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

class Cpu : public testing::TestWithParam<const Kernels*> {};

INSTANTIATE_TEST_SUITE_P(InstructionSets, Cpu, testing::ValuesIn(runnable_kernels()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(Cpu, AgreesWithFloat64) {
  const Floats network = random_network(1, Statistics::kSane);
  const Floats noise = random_noise(2, 0, 129);
  const auto device = open_attached(*GetParam(), 2);
  device->load_network(network.data());
  static std::vector<Doubles> known(129);  // shared by the instruction sets
  for (const auto& [n, some] : {std::pair<int, std::vector<int>>{1, {0}}, {7, {0, 3, 6}}, {129, {0, 13, 64, 128}}}) {
    const Floats faces = generate(*device, Floats(noise.begin(), noise.begin() + n * net::kNoise));
    for (const int face : some) {
      SCOPED_TRACE("face " + std::to_string(face) + " of " + std::to_string(n));
      if (known[face].empty()) known[face] = reference_face(network.data(), &noise[std::size_t(face) * net::kNoise]);
      double worst = 0, squares = 0, spread = 0;
      for (int i = 0; i < net::kFaceFloats; ++i) {
        const float y = faces[std::size_t(face) * net::kFaceFloats + i];
        ASSERT_FALSE(std::isnan(y)) << "value " << i;
        const double error = y - known[face][i];
        worst = std::max(worst, std::fabs(error));
        squares += error * error;
        spread += std::fabs(known[face][i]);
      }
      EXPECT_LE(worst, 1e-5);
      // One long chain of additions a pixel gives 4.4e-7 here, and on a trained network a worst error past 1e-5.
      EXPECT_LE(std::sqrt(squares / net::kFaceFloats), 3e-7) << "rounding errors pile up";
      EXPECT_GT(spread / net::kFaceFloats, 0.1) << "the test's network says nothing";
    }
  }
}

TEST_P(Cpu, BytesDependOnNeitherThreadsNorChunks) {
  const Floats network = random_network(3, Statistics::kSane);
  const Floats noise = random_noise(4, 0, 43);
  Floats expected;
  for (const int threads : {1, 2, 3, 5}) {
    const auto device = open_attached(*GetParam(), threads);
    device->load_network(network.data());
    if (threads == 1) expected = generate(*device, noise);
    for (const int chunk : {0, 5, 13}) {
      if (chunk == 0 || threads != 3) {
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
  const Floats noise = random_noise(5, 0, 3);
  const auto device = open_attached(*GetParam(), 2);
  device->load_network(random_network(6, Statistics::kSane).data());
  const Floats before = generate(*device, noise);
  device->load_network(random_network(7, Statistics::kSane).data());
  EXPECT_FALSE(same_bytes(generate(*device, noise), before));
  device->load_network(random_network(6, Statistics::kSane).data());
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
  for (float x = 0.001f; values.size() < 16 * 100; x *= 1.0059f) values.push_back(x);  // to 11.5
  const int n = int(values.size() / 16);
  Floats noise(std::size_t(n) * net::kNoise, 0.0f);
  for (int i = 0; i < n * 16; ++i) noise[std::size_t(i / 16) * net::kNoise + i % 16] = values[i];

  const auto device = open_attached(*GetParam(), 2);
  device->load_network(pass_through_network().data());
  const Floats faces = generate(*device, noise);
  for (std::size_t at = 0; at < faces.size(); ++at) {
    const int k = int(at % 3), x = int(at / 3 % 64), y = int(at / 192 % 64), face = int(at / net::kFaceFloats);
    const float in = values[face * 16 + y / 16 * 4 + x / 16] * (k == 0 ? 1.0f : k == 1 ? -1.0f : 0.5f);
    const double expected = std::tanh(double(in));
    const double ulp = std::nextafter(std::fabs(float(expected)), 2.0f) - std::fabs(float(expected));
    const double error = std::fabs(faces[at] - expected) / ulp;
    ASSERT_LE(error, 3.0) << "tanh(" << in << ") came out as " << faces[at] << ", pixel (" << y << ", " << x << ", "
                          << k << ") of face " << face;
  }
}

TEST_P(Cpu, SaturatesWithoutNaN) {
  const auto device = open_attached(*GetParam(), 1);
  device->load_network(pass_through_network().data());
  const float largest = std::numeric_limits<float>::max();
  Floats noise(net::kNoise, 0.0f);
  for (int p = 0; p < 16; ++p) noise[p] = p % 2 ? 12.0f + float(p) : largest / float(p + 1);
  const Floats faces = generate(*device, noise);
  for (std::size_t at = 0; at < faces.size(); ++at) {
    const float limits[] = {1.0f, -1.0f, faces[at]};
    ASSERT_EQ(faces[at], limits[at % 3]) << "value " << at;
  }

  device->load_network(random_network(8, Statistics::kSane).data());
  Floats huge = random_noise(9, 0, 2);
  for (float& value : huge) value *= 1e25f;
  for (const float y : generate(*device, huge)) ASSERT_LE(std::fabs(y), 1.0f);
}

TEST(CpuDevice, SaysWhatItIs) {
  const auto device = open_cpu(*plain_kernels(), 3);
  EXPECT_EQ(device->name(), "CPU (3 threads, plain)");
  EXPECT_EQ(device->slots(), 1);
  EXPECT_GE(device->speed(), 1);
  EXPECT_GE(device->chunk_faces(), 1);
}

TEST(CpuDevice, TakesTheInstructionSetThatFacegenCpuNames) {
  for (const std::string& name : {std::string("plain"), std::string()}) {
    const Variable asked("FACEGEN_CPU", name.c_str());
    const std::string widest = runnable_kernels().front()->name;
    EXPECT_EQ(open_cpu(1)->name(), "CPU (1 thread, " + (name.empty() ? widest : name) + ")");
  }
  const Variable unknown("FACEGEN_CPU", "avx\0331024");
  expect_failure(kUsage, {"FACEGEN_CPU='avx\\x1b1024'"}, [] { open_cpu(1); });
}

}  // namespace
