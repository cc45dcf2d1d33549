// tconv4 and tanh. Included like micro_tile.h; kTileFaces is defined too.
#ifndef FACEGEN_CPU_TCONV4_H_
#define FACEGEN_CPU_TCONV4_H_

#include "cpu/micro_tile.h"

namespace {

// e^z for z in [0, 20]: 2^k times e^r with |r| <= ln 2 / 2, where e^r = 1 + r + r^2 q(r), q fitted to 3e-9.
inline Vec exp_of(Vec z) {
  constexpr float kRound = 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer, which lies in the low bits
  const Vec shifted = z * 1.44269504f + kRound;
  const Vec k = shifted - kRound;
  const Vec r = (z - k * 0.693145752f) - k * 1.42860677e-6f;  // ln 2 in two parts
  const Vec q = (((r * 0.0013813142f + 0.008369419f) * r + 0.041668456f) * r + 0.16666515f) * r + 0.49999994f;
  const Vec e = r * r * q + r + 1.0f;
  return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(e) + (reinterpret_cast<IntVec>(shifted) << 23));
}

// tanh |x| = 1 - 2 / (e^2|x| + 1), and near 0, where that cancels, an odd polynomial fitted to 2e-10. Not-a-number
// stays.
inline Vec tanh_of(Vec x) {
  const IntVec sign = reinterpret_cast<IntVec>(x) & IntVec(IntVec{} + int(0x80000000u));
  const Vec magnitude = reinterpret_cast<Vec>(reinterpret_cast<IntVec>(x) ^ sign);
  const Vec t = magnitude > 9.5f ? Vec{} + 9.5f : magnitude;  // 1 from there on, in float
  const Vec s = t * t;
  const Vec poly =
      ((((s * 0.0021429588f - 0.008177395f) * s + 0.021700703f) * s - 0.053946763f) * s + 0.13333206f) * s - 0.3333333f;
  const Vec y = t < 0.625f ? t * s * poly + t : 1.0f - 2.0f / (exp_of(t + t) + 1.0f);
  return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(y) | sign);
}

// tconv4 has 3 output channels, too few for a panel. So it scatters: input position w times filter row r gives 5 pixels
// x 3 channels, 15 neighbouring values of image row 2h + r - 1, from pixel 2w - 1 on. They are added into a strip of
// image rows; what falls off the sides lands in its margins. A row that is complete goes through tanh into the face.
// Every pixel takes its contributions in the order of (h, w), whichever rows the call was asked for.
constexpr int kStripRows = 8;                                     // a ring; 5 are in use at a time
constexpr int kStripWidth = (net::kFaceW + 3) * net::kFaceC + 7;  // (1 + 64 + 2 pixels) x 3, up to whole vectors: 208
constexpr int kRowFloats = net::kFaceW * net::kFaceC;             // 192
constexpr int kStripVecs = kStripLanes / kLanes;
constexpr int kStripBlock = kRows * kVecs / kStripVecs < 14 ? kRows * kVecs / kStripVecs : 14;

struct Strip {
  alignas(64) float row[kStripRows][kTileFaces][kStripWidth];
};

template <int kR>
void strip_block(int rows, const float* a, const float* w, float (*strip)[kStripWidth], int row, int faces) {
  if constexpr (kR > 1) {
    if (rows < kR) return strip_block<kR - 1>(rows, a, w, strip, row, faces);
  }
  constexpr int kIn = map_stride(net::kTconv4.C);
  alignas(64) float sums[kR * kStripLanes];
  multiply<kR, kStripVecs, net::kTconv4.C, kIn>(a, w, a + kR * kIn, sums, true);
  int position = row / faces, face = row % faces;
  for (int r = 0; r < kR; ++r) {
    float* at = strip[face] + position * net::kStride * net::kFaceC;
    for (int v = 0; v < kStripLanes; v += kLanes) {
      store_unaligned(at + v, load_unaligned(at + v) + load(sums + r * kStripLanes + v));
    }
    if (++face == faces) face = 0, ++position;
  }
}

// Strip row -> image row y, and zeros in the strip row.
void finish_row(float (*strip)[kStripWidth], const float* bias, const Tile& tile, int y) {
  for (int face = 0; face < tile.faces; ++face) {
    const float* from = strip[face] + net::kFaceC;
    float* to = tile.out + std::size_t(face) * net::kFaceFloats + y * kRowFloats;
    for (int x = 0; x < kRowFloats; x += kLanes) {
      store_unaligned(to + x, tanh_of(load_unaligned(from + x) + load(bias + x)));
    }
    for (int x = 0; x < kStripWidth; x += kLanes) store(strip[face] + x, Vec{});
  }
}

void tconv4(const PackedLayer& p, const Tile& tile, int begin, int end) {
  constexpr net::Layer l = net::kTconv4;
  constexpr int kIn = map_stride(l.C);
  const int first = net::kStride * begin, last = net::kStride * end;  // image rows
  Strip strip;
  for (int y = 0; y < kStripRows; ++y) {
    for (int face = 0; face < tile.faces; ++face) {
      for (int x = 0; x < kStripWidth; x += kLanes) store(strip.row[y][face] + x, Vec{});
    }
  }
  int done = first;
  for (int h = begin > 0 ? begin - 1 : 0; h < l.H && h <= end; ++h) {
    const float* a = tile.map[3] + std::size_t(h * (l.W + 2) + 1) * tile.faces * kIn;
    for (int r = 0; r < net::kFilter; ++r) {
      const int y = net::kStride * h + r - net::kCut;
      if (y < first || y >= last) continue;
      const float* w = p.weight + r * l.C * kStripLanes;
      for_each_block(l.W * tile.faces, kStripBlock, [&](int row, int rows) {
        strip_block<kStripBlock>(rows, a + std::size_t(row) * kIn, w, strip.row[y % kStripRows], row, tile.faces);
      });
    }
    const int complete = h + 1 < l.H ? net::kStride * h + 1 : last;  // image rows that no later h reaches
    for (; done < complete && done < last; ++done) finish_row(strip.row[done % kStripRows], p.shift, tile, done);
  }
}

}  // namespace

#endif  // FACEGEN_CPU_TCONV4_H_
