// The sequential reference: the generator network as plain loops that read like its formulas (docs/contract.md).
//
//   noise (100) -> proj -> (4,4,512) -> tconv1 -> (8,8,256) -> tconv2 -> (16,16,128) -> tconv3 -> (32,32,64) -> tconv4
//   -> (64,64,3)
//
// Batch normalisation and ReLU follow every layer but the last, which ends in tanh. All arrays are float32 with the
// rightmost index innermost; in and out are one face's maps. Everything else in this project is measured against this.
#include <cmath>
#include <vector>

#include "facegen.h"
#include "network.h"

namespace {

// out[k] = sum over c of in[c] * weight[c][k], + bias[k]
// in (C), weight (C,K), bias (K), out (K)
void proj(const float* in, const float* weight, const float* bias, float* out, int C, int K) {
  for (int k = 0; k < K; ++k) {
    float sum = 0;
    for (int c = 0; c < C; ++c) sum += in[c] * weight[c * K + k];
    out[k] = sum + bias[k];
  }
}

// map = scale * map + (beta - scale * mean), scale = gamma / sqrt(var + eps), for each channel
// map (HW,C) in place; beta, gamma, mean, var (C)
void batch_norm(float* map, const float* beta, const float* gamma, const float* mean, const float* var, int HW, int C) {
  for (int hw = 0; hw < HW; ++hw) {
    for (int c = 0; c < C; ++c) {
      const float scale = gamma[c] / std::sqrt(var[c] + net::kBatchNormEps);
      map[hw * C + c] = scale * map[hw * C + c] + (beta[c] - scale * mean[c]);
    }
  }
}

// map = max(map, 0); map (HWC) in place
void relu(float* map, int HWC) {
  for (int i = 0; i < HWC; ++i) map[i] = std::fmax(map[i], 0.0f);
}

// map = tanh(map); map (HWC) in place
void tanh_layer(float* map, int HWC) {
  for (int i = 0; i < HWC; ++i) map[i] = std::tanh(map[i]);
}

// Transposed convolution, 5x5, stride 2: input pixel (h,w) adds to output pixels (2h + r - 1, 2w + s - 1), where they
// exist. in (H,W,C), weight (5,5,K,C), bias (K), out (2H,2W,K)
void tconv(const float* in, const float* weight, const float* bias, float* out, int H, int W, int C, int K) {
  const int out_H = net::kStride * H, out_W = net::kStride * W;

  for (int hw = 0; hw < out_H * out_W; ++hw) {
    for (int k = 0; k < K; ++k) out[hw * K + k] = bias[k];
  }

  for (int h = 0; h < H; ++h) {
    for (int w = 0; w < W; ++w) {
      for (int r = 0; r < net::kFilter; ++r) {
        for (int s = 0; s < net::kFilter; ++s) {
          const int out_h = net::kStride * h + r - net::kCut;
          const int out_w = net::kStride * w + s - net::kCut;
          if (out_h < 0 || out_h >= out_H || out_w < 0 || out_w >= out_W) continue;

          for (int k = 0; k < K; ++k) {
            float sum = 0;
            for (int c = 0; c < C; ++c) {
              sum += in[(h * W + w) * C + c] * weight[((r * net::kFilter + s) * K + k) * C + c];
            }
            out[(out_h * out_W + out_w) * K + k] += sum;
          }
        }
      }
    }
  }
}

}  // namespace

extern "C" void facegen_init(void) {}

extern "C" void facegen(int num_to_gen, float* network, float* inputs, float* outputs) {
  std::vector<float> map[net::kLayers - 1];  // what lies between the layers
  for (int i = 0; i < net::kLayers - 1; ++i) {
    const net::Layer& l = net::kTable.layer[i];
    map[i].resize(l.out_H * l.out_W * l.K);
  }

  for (int n = 0; n < num_to_gen; ++n) {
    const float* in = inputs + std::size_t(n) * net::kNoise;
    float* face = outputs + std::size_t(n) * net::kFaceFloats;

    for (int i = 0; i < net::kLayers; ++i) {
      const net::Layer& l = net::kTable.layer[i];
      const float* weight = network + l.weight;
      const float* bias = network + l.bias;
      const int HW = l.out_H * l.out_W;
      const bool last = i == net::kLayers - 1;
      float* out = last ? face : map[i].data();

      if (i == 0) {
        proj(in, weight, bias, out, l.C, HW * l.K);
      } else {
        tconv(in, weight, bias, out, l.H, l.W, l.C, l.K);
      }
      if (last) {
        tanh_layer(out, HW * l.K);
      } else {
        batch_norm(out, network + l.beta, network + l.gamma, network + l.mean, network + l.var, HW, l.K);
        relu(out, HW * l.K);
      }
      in = out;
    }
  }
}

extern "C" void facegen_fin(void) {}
