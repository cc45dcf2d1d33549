// The one description of the network: a DCGAN generator, 100 noise values -> a 64x64 RGB face.
//
// Every size in the project comes from here. H, W, C: the input map of a layer; K: its output channels. The parameters
// lie in network.bin as float32, little-endian, in the order of kLayers, and within a layer in the order
//   weight, bias            proj: (C, out_H * out_W * K)      tconv: (5, 5, K, C)
//   beta, gamma, mean, var  (K) each; the last layer has none
// with the rightmost index innermost.
#ifndef FACEGEN_NETWORK_H_
#define FACEGEN_NETWORK_H_

#include <cstddef>
#include <cstdint>

namespace net {

struct Layer {
  const char* name;
  int H, W, C;                                       // input map (H, W, C)
  int out_H, out_W, K;                               // output map (out_H, out_W, K); a tconv doubles H and W
  bool batch_norm;                                   // batch normalisation + ReLU follow (else tanh: the last layer)
  std::size_t weight, bias, beta, gamma, mean, var;  // offsets into network.bin, in floats
};

constexpr int kFilter = 5;              // a tconv's filter is kFilter x kFilter
constexpr int kStride = 2;              // and writes every kStride-th output pixel per input pixel,
constexpr int kCut = 1;                 // shifted by kCut: input h, filter row r -> output kStride * h + r - kCut
constexpr float kBatchNormEps = 1e-5f;  // scale = gamma / sqrt(var + eps)

struct Table {
  Layer layer[5];
  std::size_t floats;  // in the whole file
};

// Walks the file once: each layer's parameters start where the previous layer's end.
constexpr Table make_table() {
  Table table = {{{"proj", 1, 1, 100, 4, 4, 512, true, 0, 0, 0, 0, 0, 0},
                  {"tconv1", 4, 4, 512, 8, 8, 256, true, 0, 0, 0, 0, 0, 0},
                  {"tconv2", 8, 8, 256, 16, 16, 128, true, 0, 0, 0, 0, 0, 0},
                  {"tconv3", 16, 16, 128, 32, 32, 64, true, 0, 0, 0, 0, 0, 0},
                  {"tconv4", 32, 32, 64, 64, 64, 3, false, 0, 0, 0, 0, 0, 0}},
                 0};
  std::size_t end = 0;
  for (int i = 0; i < 5; ++i) {
    Layer& l = table.layer[i];
    const bool proj = i == 0;
    const std::size_t outputs = proj ? std::size_t(l.out_H) * l.out_W * l.K : l.K;
    l.weight = end;
    end += proj ? l.C * outputs : std::size_t(kFilter) * kFilter * l.K * l.C;
    l.bias = end;
    end += outputs;
    if (!l.batch_norm) continue;
    l.beta = end;
    l.gamma = l.beta + l.K;
    l.mean = l.gamma + l.K;
    l.var = l.mean + l.K;
    end = l.var + l.K;
  }
  table.floats = end;
  return table;
}

constexpr Table kTable = make_table();
constexpr int kLayers = 5;
constexpr Layer kProj = kTable.layer[0];
constexpr Layer kTconv1 = kTable.layer[1];
constexpr Layer kTconv2 = kTable.layer[2];
constexpr Layer kTconv3 = kTable.layer[3];
constexpr Layer kTconv4 = kTable.layer[4];

constexpr std::size_t kNetworkFloats = kTable.floats;                  // in network.bin
constexpr std::size_t kNetworkBytes = kNetworkFloats * sizeof(float);  // 20,549,132
constexpr int kNoise = kProj.C;                                        // noise values a face: 100
constexpr int kFaceH = kTconv4.out_H;                                  // face (64, 64, 3)
constexpr int kFaceW = kTconv4.out_W;
constexpr int kFaceC = kTconv4.K;
constexpr int kFaceFloats = kFaceH * kFaceW * kFaceC;  // 12,288
constexpr std::int64_t kNoiseBytes = kNoise * sizeof(float);
constexpr std::int64_t kFaceBytes = kFaceFloats * sizeof(float);

// Multiply-adds that a face needs in a layer, those on inputs or outputs off the map's border not counted: along one
// side of H input pixels, all 5 filter taps of each hit the output but for one of the first and two of the last.
constexpr double multiply_adds(const Layer& l) {
  return l.H == 1 ? double(l.C) * l.out_H * l.out_W * l.K : double(kFilter * l.H - 3) * (kFilter * l.W - 3) * l.C * l.K;
}

// In the whole network: 136.9 million.
constexpr double multiply_adds() {
  double sum = 0;
  for (const Layer& l : kTable.layer) sum += multiply_adds(l);
  return sum;
}

static_assert(kNetworkBytes == 20549132, "network.bin has 20,549,132 bytes");
static_assert(kFaceFloats == 12288, "a face has 12,288 values");

}  // namespace net

#endif  // FACEGEN_NETWORK_H_
