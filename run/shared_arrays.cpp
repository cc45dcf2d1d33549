#include "run/shared_arrays.h"

#include <cstdlib>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "run/device.h"
#include "run/host_memory.h"
#include "run/ranks.h"

namespace {

// An array in memory of ours, page-locked as long as it is there.
struct Array {
  Array(std::unique_ptr<HostMemory> host_memory, std::int64_t address_on_root)
      : memory(std::move(host_memory)), name(address_on_root), good(memory && pin(memory->data(), memory->bytes())) {}
  ~Array() {
    if (good) unpin(memory->data());
  }
  std::unique_ptr<HostMemory> memory;
  std::int64_t name;    // what all ranks call it: its address on rank 0
  bool good;            // there, and page-locked where a GPU is open
  bool shared = false;  // others have been told of it
};

std::list<Array> g_own;              // of alloc_array
std::list<Array> g_of_root;          // on ranks beside rank 0
std::vector<std::int64_t> g_seeing;  // by rank: 1 where it sees rank 0's arrays

// FACEGEN_SHARE=0: messages alone, to measure or test them.
bool may_share() {
  const char* variable = std::getenv("FACEGEN_SHARE");
  return node_place().count > 1 && !(variable && std::string(variable) == "0");
}

std::int64_t address(const void* memory) { return reinterpret_cast<std::intptr_t>(memory); }

// The shared array in which `bytes` from that name on lie, or nullptr.
const Array* find(const std::list<Array>& arrays, std::int64_t name, std::size_t bytes) {
  for (const Array& array : arrays) {
    const std::int64_t end = array.name + std::int64_t(array.memory->bytes());
    if (array.shared && name >= array.name && name + std::int64_t(bytes) <= end) return &array;
  }
  return nullptr;
}

}  // namespace

float* alloc_array(std::size_t floats, NumaNodes nodes) {
  const std::size_t bytes = floats * sizeof(float);
  const bool for_others = is_root() && may_share();
  if (for_others || nodes != 0) {
    std::unique_ptr<HostMemory> memory = HostMemory::make(bytes, nodes, for_others);
    const std::int64_t name = memory ? address(memory->data()) : 0;
    g_own.emplace_back(std::move(memory), name);
    if (g_own.back().good) return static_cast<float*>(g_own.back().memory->data());
    g_own.pop_back();
  }
  return static_cast<float*>(alloc_pinned(bytes));
}

void free_array(float* array) {
  if (free_pinned(array)) return;
  g_own.remove_if([array](const Array& own) { return own.name == address(array); });
}

bool beside_root() { return !is_root() && node_place().leader == 0; }

void share_arrays() {
  if (rank_count() == 1) return;
  const std::size_t count = std::size_t(broadcast(std::int64_t(may_share() ? g_own.size() : 0)));  // rank 0's
  bool sees_all = beside_root() && count > 0;
  auto own = g_own.begin();
  for (std::size_t i = 0; i < count; ++i) {
    struct {
      std::int64_t name;
      HostMemory::Ticket ticket;
    } told = {};
    if (is_root()) {
      told = {own->name, own->memory->ticket()};
      (own++)->shared = true;
    }
    broadcast(&told.name, sizeof told / sizeof(std::int64_t));
    if (!sees_all) continue;
    g_of_root.emplace_back(HostMemory::open(told.ticket), told.name);
    g_of_root.back().shared = sees_all = g_of_root.back().good;
  }
  if (!sees_all) g_of_root.clear();
  g_seeing = all_gather(sees_all);
}

bool sees_root_arrays(int rank) { return !g_seeing.empty() && g_seeing[rank] != 0; }

std::int64_t shared_name(const float* place, std::size_t floats) {
  return find(g_own, address(place), floats * sizeof(float)) ? address(place) : 0;
}

float* shared_place(std::int64_t name) {
  const Array* array = find(g_of_root, name, 0);
  return array ? reinterpret_cast<float*>(static_cast<char*>(array->memory->data()) + (name - array->name)) : nullptr;
}

void forget_root_arrays() {
  g_of_root.clear();
  g_seeing.clear();
}
