// Fresh random networks and noise for tests: the same for the same seed, everywhere.
#ifndef FACEGEN_TESTS_RANDOM_NETWORK_H_
#define FACEGEN_TESTS_RANDOM_NETWORK_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "network.h"

// Numbers from a counter (splitmix64): no state to share, no library's idea of a distribution.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  double uniform(double low, double high) { return low + (high - low) * double(next() >> 11) * 0x1p-53; }
  // Close to normal (the sum of four uniforms), which is all that the tests need.
  double normal(double mean, double deviation) {
    return mean + deviation * (uniform(-1, 1) + uniform(-1, 1) + uniform(-1, 1) + uniform(-1, 1)) * std::sqrt(0.75);
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
    const double last = l.batch_norm ? 1 : hard ? 3 : 0.5;  // what goes into tanh

    const std::size_t weights = l.bias - l.weight;
    for (std::size_t j = 0; j < weights; ++j) {
      network[l.weight + j] = float(random.normal(0, 1) * (l.batch_norm ? size : last) / std::sqrt(terms * in_square));
    }
    const std::size_t outputs = proj ? std::size_t(l.out_H) * l.out_W * l.K : l.K;
    for (std::size_t j = 0; j < outputs; ++j) network[l.bias + j] = float(random.normal(0, 0.1));
    if (!l.batch_norm) break;

    double out_square = 0;
    for (int k = 0; k < l.K; ++k) {
      double gamma = random.uniform(0.5, 1.5), beta = random.normal(0, 0.3);
      double mean = random.normal(0, 0.3) * size, variance = random.uniform(0.7, 1.4) * size * size;
      out_square += (gamma * gamma + beta * beta) / 2 / l.K;
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

// Noise of faces first .. first + n - 1: that of a face does not depend on how many are made. -> (n, 100)
inline std::vector<float> random_noise(std::uint64_t seed, std::int64_t first, int n) {
  std::vector<float> noise(std::size_t(n) * net::kNoise);
  for (int i = 0; i < n; ++i) {
    Random random(seed ^ (std::uint64_t(first + i) * 0xd1342543de82ef95u));
    for (int c = 0; c < net::kNoise; ++c) noise[std::size_t(i) * net::kNoise + c] = float(random.normal(0, 1));
  }
  return noise;
}

#endif  // FACEGEN_TESTS_RANDOM_NETWORK_H_
