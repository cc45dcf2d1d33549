// All cores of a CPU as one device: noise -> proj -> tconv1 -> tconv2 -> tconv3 -> tconv4 -> faces.
//
// A chunk of faces is cut into tiles of a dozen faces, a tile a thread. A layer of a tile is cut into items (some rows,
// a phase, a panel of output channels), which all threads may share (cpu/tile_work.h): so one face keeps all cores as
// busy as a thousand do. Which thread computes an item, and which faces share a tile, changes no bit of the result.
#include "cpu/cpu_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "common/failure.h"
#include "common/limits.h"
#include "common/wording.h"
#include "cpu/kernels.h"
#include "cpu/team.h"
#include "cpu/tile_work.h"
#include "network.h"
#include "run/device.h"

namespace {

// ---- Which code

// The widest, or what FACEGEN_CPU asks for.
const Kernels& choose_kernels() {
  const char* asked = std::getenv("FACEGEN_CPU");
  std::string names;
  for (const Kernels* kernels : runnable_kernels()) {
    if (!asked || !*asked || std::string(asked) == kernels->name) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  throw Failure(kUsage, "FACEGEN_CPU=" + quoted_word(asked) + " is not among what this build has and this CPU runs: " +
                            names + "; unset it to let the program choose");
}

// ---- Memory

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};
using Floats = std::unique_ptr<float[], Freed>;

// In huge pages where the system has them: weights and maps together span more ordinary pages than a core's TLB holds.
Floats allocate(std::size_t floats, const char* what) {
  constexpr std::size_t kPage = 2 << 20;
  const std::size_t bytes = (floats * sizeof(float) + kPage - 1) / kPage * kPage;
  const std::size_t available = std::size_t(available_memory(kSwapToo));
  Floats memory(bytes <= available ? static_cast<float*>(std::aligned_alloc(kPage, bytes)) : nullptr);
  if (!memory) {
    throw Failure(kMachine, "the CPU backend needs " + grouped(std::int64_t(bytes >> 20)) + " MiB for its " + what +
                                ", of which there are " + grouped(std::int64_t(available >> 20)) +
                                "; use fewer --threads");
  }
#ifdef MADV_HUGEPAGE
  madvise(memory.get(), bytes, MADV_HUGEPAGE);  // best effort
#endif
  return memory;
}

// ---- The device

constexpr int kRounds = 2;               // tiles a thread in a full chunk, one after the other in the same memory
constexpr int kPhases[] = {3, 2, 1, 0};  // heaviest first: 9, 6, 6 and 4 taps
constexpr int kProjPanels = 8;           // an item

// A layer of a tile, cut into groups of `rows` input rows, the other factors of its items aside.
struct Groups {
  int count, rows;
};

class Cpu : public Device {
 public:
  Cpu(const Kernels& kernels, int threads) : kernels_(kernels), threads_(team_size(threads)) {}

  std::string name() const override {
    return "CPU (" + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") + kernels_.name + ")";
  }
  int speed() const override { return threads_ * kernels_.faces_per_s; }
  int chunk_faces() const override { return kRounds * threads_ * kernels_.tile_faces; }
  int slots() const override { return 1; }

  // The team is the calling thread's.
  void attach() override {
    packed_ = allocate(packed_floats(), "weights");
    maps_ = allocate(threads_ * tile_floats(kernels_), "feature maps");
    start_team(threads_);
    clear(packed_.get(), packed_floats());
    clear(maps_.get(), threads_ * tile_floats(kernels_));
  }

  void load_network(const float* network) override { pack_network(network, kernels_, threads_, packed_.get(), layer_); }

  // The calling thread is one of the team, so there is nobody to return to before the chunk is computed.
  void start(int, int n, const float* noise, float* faces) override {
    const int most = threads_ * kernels_.tile_faces;
    const int rounds = (n + most - 1) / most;
    for (int r = 0; r < rounds; ++r) {
      const int first = int(std::int64_t(n) * r / rounds), last = int(std::int64_t(n) * (r + 1) / rounds);
      compute(last - first, noise + std::size_t(first) * net::kNoise, faces + std::size_t(first) * net::kFaceFloats);
    }
  }
  void finish(int) override {}

 private:
  // Each thread touches its share first, so that the pages lie near it.
  void clear(float* memory, std::size_t floats) const {
    parallel_team(threads_, [&](int thread, int team) {
      std::fill(memory + floats * thread / team, memory + floats * (thread + 1) / team, 0.0f);
    });
  }

  // n faces, at most a tile a thread.
  void compute(int n, const float* noise, float* faces) const {
    const int tiles = (n + kernels_.tile_faces - 1) / kernels_.tile_faces;
    std::vector<Tile> tile;
    for (int t = 0; t < tiles; ++t) {
      const int first = int(std::int64_t(n) * t / tiles), last = int(std::int64_t(n) * (t + 1) / tiles);
      tile.push_back(make_tile(last - first, noise + std::size_t(first) * net::kNoise,
                               maps_.get() + t * tile_floats(kernels_), faces + std::size_t(first) * net::kFaceFloats));
    }

    // Stages: the borders, then a layer each. items[1 + layer]
    std::vector<int> items = {kMaps - 1,
                              net::kProj.out_H * net::kProj.out_W * net::kProj.K / kernels_.columns / kProjPanels};
    Groups groups[net::kLayers] = {};
    for (int layer = 1; layer < net::kLayers; ++layer) {
      const net::Layer& l = net::kTable.layer[layer];
      const int pieces = l.batch_norm ? 4 * l.K / kernels_.columns : 1;  // (phase, panel)
      groups[layer] = groups_of(l.H, pieces * tiles);
      items.push_back(groups[layer].count * pieces);
    }

    TileWork work(tiles, items);
    parallel_team(threads_, [&](int thread, int team) {
      work.run(thread, team, [&](int stage, int t, int item) { compute_item(stage - 1, groups, tile[t], item); });
    });
  }

  // layer -1: the borders.
  void compute_item(int layer, const Groups* groups, const Tile& tile, int item) const {
    if (layer < 0) {
      if (tile.faces < kernels_.border_faces) clear_border(tile, item);
    } else if (layer == 0) {
      for (int p = item * kProjPanels; p < (item + 1) * kProjPanels; ++p) kernels_.proj(layer_[0], tile, p);
    } else if (layer < net::kLayers - 1) {  // (group, phase, panel): the rows stay in the cache for all who read them
      const int panels = net::kTable.layer[layer].K / kernels_.columns;
      const int panel = item % panels, phase = kPhases[item / panels % 4],
                begin = item / panels / 4 * groups[layer].rows;
      kernels_.tconv[layer](layer_[layer], tile, phase, panel, begin, begin + groups[layer].rows);
    } else {
      const int begin = item * groups[layer].rows;
      kernels_.tconv4(layer_[layer], tile, begin, begin + groups[layer].rows);
    }
  }

  // Cuts `rows` input rows so that all tiles together make some items for every thread; pieces: without a cut. With
  // eight a thread, a thread that takes the last item keeps the others waiting for an eighth of the layer at most.
  Groups groups_of(int rows, int pieces) const {
    constexpr int kItems = 8;  // a thread
    int count = 1;
    while (count < rows && pieces * count < kItems * threads_) count *= 2;
    return {count, rows / count};
  }

  const Kernels& kernels_;
  const int threads_;
  Floats packed_;  // every layer's weights, scales and shifts
  Floats maps_;    // (threads, the four maps of a tile)
  PackedLayer layer_[net::kLayers] = {};
};

}  // namespace

// ---- The memory of a tile

namespace {

std::size_t map_floats(int m, int faces) {
  const net::Layer& l = net::kTable.layer[m];
  return std::size_t(l.out_H) * (l.out_W + 2) * faces * map_stride(l.K);
}

}  // namespace

std::size_t tile_floats(const Kernels& kernels) {
  std::size_t floats = 0;
  for (int m = 0; m < kMaps; ++m) floats += map_floats(m, kernels.tile_faces);
  return floats;
}

Tile make_tile(int faces, const float* noise, float* memory, float* out) {
  Tile tile = {faces, noise, {}, out};
  for (int m = 0; m < kMaps; ++m) {
    tile.map[m] = memory;
    memory += map_floats(m, faces);
  }
  return tile;
}

void clear_border(const Tile& tile, int m) {
  const net::Layer& l = net::kTable.layer[m];
  const std::size_t column = std::size_t(tile.faces) * map_stride(l.K);
  for (int h = 0; h < l.out_H; ++h) {
    float* row = tile.map[m] + h * (l.out_W + 2) * column;
    std::fill_n(row, column, 0.0f);
    std::fill_n(row + (l.out_W + 1) * column, column, 0.0f);
  }
}

// ---- What there is

std::vector<const Kernels*> runnable_kernels() {
  std::vector<const Kernels*> kernels;
#ifdef __x86_64__
  const bool fma = __builtin_cpu_supports("fma");
  if (fma && __builtin_cpu_supports("avx512f")) kernels.push_back(avx512_kernels());
  if (fma && __builtin_cpu_supports("avx2")) kernels.push_back(avx2_kernels());
#endif
  kernels.push_back(plain_kernels());
  return kernels;
}

std::unique_ptr<Device> open_cpu(int threads) { return open_cpu(choose_kernels(), threads); }

std::unique_ptr<Device> open_cpu(const Kernels& kernels, int threads) {
  return std::make_unique<Cpu>(kernels, threads);
}

const char* cpu_about() {
#ifdef _OPENMP
  return "OpenMP";
#else
  return "no OpenMP";
#endif
}
