// All cores of a CPU as one device: noise -> proj -> tconv1 -> tconv2 -> tconv3 -> tconv4 -> faces.
//
// A chunk of faces is cut into tiles of a dozen faces. Layer by layer, the threads take pieces of it (a tile, a phase,
// a panel of output channels, some rows) from one list: tile by tile, so that the caches are done with one tile before
// the next comes, and a tile's heavy phases first. So one face keeps all cores as busy as a thousand do. Which thread
// computes a piece, and which faces share a tile, changes no bit of the result.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "cpu/kernels.h"
#include "cpu/pack.h"
#include "cpu/parallel.h"
#include "network.h"
#include "runtime/device.h"
#include "runtime/failure.h"

namespace {

// ---- Which code

bool cpu_has(const std::string& isa) {
#ifdef __x86_64__
  if (isa == "avx512") return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma");
  if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return isa == "plain";
}

// The widest code that this build has and this CPU runs, or what FACEGEN_CPU asks for.
const Kernels* choose_kernels() {
  const struct {
    const char* name;
    const Kernels* (*kernels)();
  } choices[] = {{"avx512", avx512_kernels}, {"avx2", avx2_kernels}, {"plain", plain_kernels}};

  const char* asked = std::getenv("FACEGEN_CPU");
  if (asked && !*asked) asked = nullptr;
  for (const auto& choice : choices) {
    if (asked && std::string(asked) != choice.name) continue;
    const Kernels* kernels = cpu_has(choice.name) ? choice.kernels() : nullptr;
    if (kernels) return kernels;
    if (asked) {
      const char* who = cpu_has(choice.name) ? "build has no code for it" : "CPU cannot run it";
      throw Failure(kUsage,
                    "FACEGEN_CPU=" + std::string(asked) + ", but this " + who + "; unset it to let the program choose");
    }
  }
  throw Failure(kUsage, "FACEGEN_CPU=" + std::string(asked) + " is unknown; expected plain, avx2 or avx512");
}

// ---- Memory

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};
using Floats = std::unique_ptr<float[], Freed>;

// Page-aligned, and touched first by the threads that will use it, so that its pages lie near them.
Floats allocate(std::size_t floats, int threads, const char* what) {
  constexpr std::size_t kPage = 4096;
  const std::size_t pages = (floats * sizeof(float) + kPage - 1) / kPage;
  Floats memory(static_cast<float*>(std::aligned_alloc(kPage, pages * kPage)));
  if (!memory) {
    throw Failure(kMachine, "the CPU backend found no memory for its " + std::string(what) + ": " +
                                std::to_string((pages * kPage) >> 20) + " MiB; use fewer --threads");
  }
  char* bytes = reinterpret_cast<char*>(memory.get());
  constexpr std::size_t kPiece = 256;  // pages
  parallel_for(threads, int((pages + kPiece - 1) / kPiece), [&](int piece) {
    const std::size_t first = piece * kPiece, last = std::min(pages, first + kPiece);
    std::memset(bytes + first * kPage, 0, (last - first) * kPage);
  });
  return memory;
}

// ---- The device

constexpr int kTilesPerThread = 2;       // in a full chunk
constexpr int kPhases[] = {3, 2, 1, 0};  // heaviest first: 9, 6, 6 and 4 taps

class Cpu : public Device {
 public:
  explicit Cpu(int threads)
      : kernels_(*choose_kernels()),
        threads_(threads > 0 ? threads : granted_threads()),
        tiles_(kTilesPerThread * threads_),
        packed_(allocate(packed_floats(), threads_, "weights")),
        maps_(allocate(tiles_ * tile_floats(kernels_.tile_faces), threads_, "feature maps")) {}

  std::string name() const override {
    return "CPU (" + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") + kernels_.name + ")";
  }
  int speed() const override { return threads_ * kernels_.faces_per_s; }
  int chunk_faces() const override { return tiles_ * kernels_.tile_faces; }
  int slots() const override { return 1; }

  void load_network(const float* network) override {
    pack_network(network, kernels_.columns, threads_, packed_.get(), layer_);
  }

  // Computes the whole chunk before it returns.
  void start(int, int n, const float* noise, float* faces) override {
    const int tiles = (n + kernels_.tile_faces - 1) / kernels_.tile_faces;
    const auto tile = [&](int t) {
      const int first = int(std::int64_t(n) * t / tiles), last = int(std::int64_t(n) * (t + 1) / tiles);
      return make_tile(t, last - first, noise + std::size_t(first) * net::kNoise,
                       faces + std::size_t(first) * net::kFaceFloats);
    };
    for (int t = 0; t < tiles; ++t) {
      if (tile(t).faces < kFewFaces) clear_borders(tile(t));
    }
    proj(tiles, tile);
    for (int layer = 1; layer <= 3; ++layer) tconv(layer, tiles, tile);
    tconv4(tiles, tile);
  }
  void finish(int) override {}

 private:
  static std::size_t tile_floats(int faces) {
    std::size_t floats = 0;
    for (int m = 0; m < kMaps; ++m) floats += map_floats(net::kTable.layer[m], faces);
    return floats;
  }

  Tile make_tile(int t, int faces, const float* noise, float* out) const {
    Tile tile = {faces, noise, {}, out};
    float* at = maps_.get() + t * tile_floats(kernels_.tile_faces);
    for (int m = 0; m < kMaps; ++m) {
      tile.map[m] = at;
      at += map_floats(net::kTable.layer[m], faces);
    }
    return tile;
  }

  // The columns left and right of every map that a tconv1-3 reads hold zeros (kFewFaces).
  static void clear_borders(const Tile& tile) {
    for (int m = 0; m < kMaps - 1; ++m) {
      const net::Layer& l = net::kTable.layer[m];
      const std::size_t column = std::size_t(tile.faces) * map_stride(l.K);
      for (int h = 0; h < l.out_H; ++h) {
        float* row = tile.map[m] + h * (l.out_W + 2) * column;
        std::fill_n(row, column, 0.0f);
        std::fill_n(row + (l.out_W + 1) * column, column, 0.0f);
      }
    }
  }

  // Into how many groups to cut `rows` input rows so that there are about `wanted` pieces a thread.
  int groups_of(int rows, int pieces, int wanted) const {
    int groups = 1;
    while (groups < rows && pieces * groups < wanted * threads_) groups *= 2;
    return groups;
  }

  template <class TileOf>
  void proj(int tiles, const TileOf& tile) const {
    const int panels = net::kProj.out_H * net::kProj.out_W * net::kProj.K / kernels_.columns;
    constexpr int kPanels = 8;                                        // a piece
    parallel_for(threads_, panels / kPanels * tiles, [&](int item) {  // (panels, tile)
      const int first = item / tiles * kPanels;
      for (int panel = first; panel < first + kPanels; ++panel) kernels_.proj(layer_[0], tile(item % tiles), panel);
    });
  }

  template <class TileOf>
  void tconv(int layer, int tiles, const TileOf& tile) const {
    const net::Layer& l = net::kTable.layer[layer];
    const int panels = l.K / kernels_.columns;
    const int groups = groups_of(l.H, 4 * panels * tiles, 8);
    const int rows = l.H / groups;
    parallel_for(threads_, tiles * 4 * panels * groups, [&](int item) {  // (tile, phase, panel, group)
      const int group = item % groups, panel = item / groups % panels;
      const int phase = kPhases[item / groups / panels % 4], t = item / groups / panels / 4;
      kernels_.tconv[layer](layer_[layer], tile(t), phase, panel, group * rows, (group + 1) * rows);
    });
  }

  template <class TileOf>
  void tconv4(int tiles, const TileOf& tile) const {
    const int groups = groups_of(net::kTconv4.H, tiles, 4);
    const int rows = net::kTconv4.H / groups;
    parallel_for(threads_, tiles * groups, [&](int item) {
      const int group = item % groups;
      kernels_.tconv4(layer_[4], tile(item / groups), group * rows, (group + 1) * rows);
    });
  }

  const Kernels& kernels_;
  const int threads_;
  const int tiles_;  // that the maps have room for
  Floats packed_;    // every layer's weights, scales and shifts
  Floats maps_;      // (tiles_, the four maps of a tile)
  PackedLayer layer_[net::kLayers] = {};
};

}  // namespace

std::unique_ptr<Device> open_cpu(int threads) { return std::make_unique<Cpu>(threads); }

const char* cpu_about() {
#ifdef _OPENMP
  return "OpenMP";
#else
  return "no OpenMP";
#endif
}
