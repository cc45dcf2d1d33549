// Who computes what, and when: tiles of faces go through stages (layers), each stage in items that may run at once.
//
// A thread keeps to its own tile, stage after stage, so that what one layer writes is still in that core's caches when
// the next layer reads it. A thread that finds nothing to do there helps with other tiles. So there is no barrier
// between layers, one tile keeps all threads busy, and all threads end together.
#ifndef FACEGEN_CPU_TILE_WORK_H_
#define FACEGEN_CPU_TILE_WORK_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

class TileWork {
 public:
  // items: how many items each stage has; at least one.
  TileWork(int tiles, const std::vector<int>& items) : items_(items), tiles_(std::size_t(tiles)), unfinished_(tiles) {}

  // Works until every tile has gone through every stage; called by every thread of a team. body(stage, tile, item).
  template <class Body>
  void run(int thread, int team, const Body& body) {
    const int tiles = int(tiles_.size());
    const int home = int(std::int64_t(tiles) * thread / team);
    int idle = 0;  // looks in vain
    while (unfinished_.load(std::memory_order_acquire) > 0) {
      bool busy = false;
      for (int i = 0; i < tiles && !busy; ++i) busy = run_item((home + i) % tiles, body);
      idle = busy ? 0 : idle + 1;
      if (idle > kPatience) {
        std::this_thread::sleep_for(std::chrono::microseconds(kNap));
      } else if (idle > 0) {
        std::this_thread::yield();
      }
    }
  }

 private:
  // The next stage of a tile mostly begins within microseconds. Where it does not, another process has the core of the
  // thread that is awaited: leave it ours too.
  static constexpr int kPatience = 200;  // yields, of about half a microsecond
  static constexpr int kNap = 50;        // us

  struct alignas(64) Progress {
    std::atomic<std::uint64_t> next{0};  // stage << 32 | the item to take next; past the last one: none is left
    std::atomic<int> done{0};            // items of that stage
  };

  // Computes one item of the tile, where one is to be had now.
  template <class Body>
  bool run_item(int tile, const Body& body) {
    Progress& progress = tiles_[tile];
    if (!has_item(progress.next.load(std::memory_order_relaxed))) return false;  // and leave the line to its owner
    const std::uint64_t taken = progress.next.fetch_add(1, std::memory_order_acquire);
    if (!has_item(taken)) return false;
    const int stage = int(taken >> 32);
    body(stage, tile, int(taken & 0xffffffffu));
    if (progress.done.fetch_add(1, std::memory_order_acq_rel) + 1 == items_[stage]) {
      progress.done.store(0, std::memory_order_relaxed);
      progress.next.store(std::uint64_t(stage + 1) << 32, std::memory_order_release);
      if (stage + 1 == int(items_.size())) unfinished_.fetch_sub(1, std::memory_order_release);
    }
    return true;
  }

  bool has_item(std::uint64_t next) const {
    const std::size_t stage = next >> 32;
    return stage < items_.size() && int(next & 0xffffffffu) < items_[stage];
  }

  const std::vector<int> items_;
  std::vector<Progress> tiles_;
  std::atomic<int> unfinished_;
};

#endif  // FACEGEN_CPU_TILE_WORK_H_
