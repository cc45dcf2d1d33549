// The network in double precision, straight from its formulas (every input pixel adds to the output pixels
// that its taps hit): what every fast path is measured against. Shares nothing with them but network.h.
#ifndef FACEGEN_TESTS_FLOAT64_REFERENCE_H_
#define FACEGEN_TESTS_FLOAT64_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "network.h"

// sum over c of in[c] * weight[c]; in eight parts, which a compiler may keep in vector registers
inline double reference_dot(const double* in, const float* weight, int C) {
  double part[8] = {};
  int c = 0;
  for (; c + 8 <= C; c += 8) {
    for (int i = 0; i < 8; ++i) part[i] += in[c + i] * weight[c + i];
  }
  for (; c < C; ++c) part[0] += in[c] * weight[c];
  double sum = 0;
  for (const double p : part) sum += p;
  return sum;
}

// One layer with what follows it (batch normalisation + ReLU, or tanh), for one face.
// network: the whole; in (H,W,C) -> (out_H,out_W,K)
inline std::vector<double> reference_layer(const net::Layer& l, const float* network, const std::vector<double>& in) {
  const float* weight = network + l.weight;
  const float* bias = network + l.bias;
  const int K = l.K;
  std::vector<double> out(std::size_t(l.out_H) * l.out_W * K);

  if (l.H == 1) {  // proj: weight (C, outputs), bias (outputs)
    std::copy(bias, bias + out.size(), out.begin());
    for (int c = 0; c < l.C; ++c) {
      for (std::size_t o = 0; o < out.size(); ++o) out[o] += in[c] * weight[c * out.size() + o];
    }
  } else {  // tconv: weight (5, 5, K, C), bias (K)
    for (std::size_t o = 0; o < out.size(); ++o) out[o] = bias[o % K];
    for (int h = 0; h < l.H; ++h) {
      for (int w = 0; w < l.W; ++w) {
        for (int r = 0; r < 5; ++r) {
          for (int s = 0; s < 5; ++s) {
            const int out_h = 2 * h + r - 1, out_w = 2 * w + s - 1;
            if (out_h < 0 || out_h >= l.out_H || out_w < 0 || out_w >= l.out_W) continue;
            for (int k = 0; k < K; ++k) {
              out[std::size_t(out_h * l.out_W + out_w) * K + k] += reference_dot(
                  &in[std::size_t(h * l.W + w) * l.C], weight + (std::size_t(r * 5 + s) * K + k) * l.C, l.C);
            }
          }
        }
      }
    }
  }

  for (std::size_t o = 0; o < out.size(); ++o) {
    if (l.batch_norm) {
      const int k = int(o % K);
      const double scale = network[l.gamma + k] / std::sqrt(double(network[l.var + k]) + 1e-5);
      out[o] = std::max(scale * out[o] + (network[l.beta + k] - scale * network[l.mean + k]), 0.0);
    } else {
      out[o] = std::tanh(out[o]);
    }
  }
  return out;
}

// One face: noise (100) -> (64,64,3)
inline std::vector<double> reference_face(const float* network, const float* noise) {
  std::vector<double> map(noise, noise + net::kNoise);
  for (int i = 0; i < net::kLayers; ++i) map = reference_layer(net::kTable.layer[i], network, map);
  return map;
}

#endif  // FACEGEN_TESTS_FLOAT64_REFERENCE_H_
