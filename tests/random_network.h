// Networks and noise for tests and measurements: fresh random ones, the same for the same seed everywhere, and files.
#ifndef FACEGEN_TESTS_RANDOM_NETWORK_H_
#define FACEGEN_TESTS_RANDOM_NETWORK_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "common/failure.h"
#include "network.h"

// Numbers from a counter (splitmix64): no state to share, no library's idea of a distribution.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  double uniform(double low, double high) { return low + (high - low) * double(next() >> 11) * 0x1p-53; }
  double normal(double mean, double deviation) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform(0, 1)));
    return mean + deviation * radius * std::cos(uniform(0, 6.283185307179586));
  }

 private:
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

enum class Statistics {
  kSane,  // as after training: every layer's sums have a deviation near 1, and batch normalisation matches them
  kHard,  // layers 10 times too large and too small, which batch normalisation makes good; means far from 0 that nearly
          // cancel; channels of tiny variance; channels that are always 0 after ReLU; negative gammas; saturated pixels
  // kSane but for one thing:
  kHeavyTails,  // some weights far larger than most, channels of very unequal size
  kMismatched,  // batch normalisation whose variances are up to 100 times too small or too large
  kAlike,       // output channels of a layer that are nearly the same
  kSaturated,   // nearly all pixels at -1 or 1
};

inline std::vector<float> random_network(std::uint64_t seed, Statistics statistics) {
  Random random(seed);
  const bool hard = statistics == Statistics::kHard;
  std::vector<float> network(net::kNetworkFloats);
  double in_square = 1;  // mean square of a layer's input
  for (int i = 0; i < net::kLayers; ++i) {
    const net::Layer& l = net::kTable.layer[i];
    const bool proj = i == 0;
    const double terms = proj ? l.C : l.C * 25 / 4.0;  // of a sum, away from the border
    const double size = !hard ? 1 : i % 2 == 0 ? 10 : 0.1;
    const double last = l.batch_norm ? 1 : hard ? 3 : statistics == Statistics::kSaturated ? 30 : 0.5;  // into tanh
    const double alike = statistics == Statistics::kAlike && l.batch_norm ? 0.95 : 0;  // share of a channel's weights

    const std::size_t weights = l.bias - l.weight;
    std::vector<double> common(proj ? 0 : 25 * std::size_t(l.C));  // of all output channels
    for (double& x : common) x = alike * random.normal(0, 1);
    for (std::size_t j = 0; j < weights; ++j) {
      double w = random.normal(0, 1);
      if (statistics == Statistics::kHeavyTails) w *= std::exp(random.normal(0, 1)) / std::exp(1.0);
      if (alike > 0 && !proj) w = std::sqrt(1 - alike * alike) * w + common[j / l.C / l.K * l.C + j % l.C];
      network[l.weight + j] = float(w * (l.batch_norm ? size : last) / std::sqrt(terms * in_square));
    }
    const std::size_t outputs = proj ? std::size_t(l.out_H) * l.out_W * l.K : l.K;
    for (std::size_t j = 0; j < outputs; ++j) network[l.bias + j] = float(random.normal(0, 0.1));
    if (!l.batch_norm) break;

    double out_square = 0;
    for (int k = 0; k < l.K; ++k) {
      double gamma = random.uniform(0.5, 1.5), beta = random.normal(0, 0.3);
      double mean = random.normal(0, 0.3) * size, variance = random.uniform(0.7, 1.4) * size * size;
      out_square += (gamma * gamma + beta * beta) / 2 / l.K;
      if (statistics == Statistics::kHeavyTails) gamma *= std::exp2(random.uniform(-3, 3)) / 2;
      if (statistics == Statistics::kMismatched) variance *= std::pow(10, random.uniform(-2, 2));
      if (hard && k % 5 == 1) {  // a mean 10 deviations from 0, which the bias brings about
        for (std::size_t j = k; j < outputs; j += l.K) network[l.bias + j] += float(10 * size);
        mean += 10 * size;
      }
      if (hard && k % 7 == 2) gamma = -gamma;
      if (hard && k % 11 == 3) beta = -20;  // always 0
      if (hard && k % 13 == 4) {            // hardly varies: eps is all that batch normalisation divides by
        variance = 1e-9;
        gamma *= 1e-3;
      }
      network[l.beta + k] = float(beta);
      network[l.gamma + k] = float(gamma);
      network[l.mean + k] = float(mean);
      network[l.var + k] = float(variance);
    }
    in_square = out_square;
  }
  return network;
}

// The network with all gammas and betas that many times as large.
inline std::vector<float> with_gain(std::vector<float> network, float gain) {
  for (const net::Layer& l : net::kTable.layer) {
    if (!l.batch_norm) continue;
    for (int k = 0; k < l.K; ++k) {
      network[l.gamma + k] *= gain;
      network[l.beta + k] *= gain;
    }
  }
  return network;
}

// The network for noise that is that many times as large as usual: the same faces.
inline std::vector<float> for_noise_times(std::vector<float> network, float factor) {
  for (std::size_t i = net::kProj.weight; i < net::kProj.bias; ++i) network[i] /= factor;
  return network;
}

inline std::vector<float> read_network(const std::string& path) {
  std::vector<float> network(net::kNetworkFloats);
  std::FILE* file = std::fopen(path.c_str(), "rb");
  const bool whole = file && std::fread(network.data(), sizeof(float), network.size(), file) == network.size();
  if (file) std::fclose(file);
  if (!whole) throw Failure(kBadInput, "'" + path + "' cannot be read as a network");
  return network;
}

// Noise of faces first .. first + n - 1, normal or from -1 to 1: that of a face does not depend on how many are made.
// -> (n, 100)
inline std::vector<float> random_noise(std::uint64_t seed, std::int64_t first, int n, bool uniform = false) {
  std::vector<float> noise(std::size_t(n) * net::kNoise);
  for (int i = 0; i < n; ++i) {
    Random random(seed ^ (std::uint64_t(first + i) * 0xd1342543de82ef95u));
    for (int c = 0; c < net::kNoise; ++c) {
      noise[std::size_t(i) * net::kNoise + c] = float(uniform ? random.uniform(-1, 1) : random.normal(0, 1));
    }
  }
  return noise;
}

#endif  // FACEGEN_TESTS_RANDOM_NETWORK_H_
