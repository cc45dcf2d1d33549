#include "run/host_arrays.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "run/device.h"  // defines: pin, unpin
#include "run/ranks.h"   // defines: node_place, is_root, all_gather, broadcast_bytes

namespace {

std::int64_t address(const void* memory) { return reinterpret_cast<std::intptr_t>(memory); }

}  // namespace

bool can_map_root_memory() {
  if (rank_count() == 1) return false;
  const char* variable = std::getenv("FACEGEN_SHARE");
  const bool wanted = !(variable && std::string(variable) == "0");
  std::unique_ptr<HostMemory> page;
  HostMemory::Ticket ticket = {};
  if (is_root() && wanted && node_place().count > 1) page = HostMemory::make(1, 0, true);
  if (page) ticket = page->ticket();
  broadcast_bytes(&ticket, sizeof ticket);
  const bool mapped = !is_root() && wanted && node_place().leader == 0 && ticket.bytes > 0 && HostMemory::open(ticket);
  all_gather(0);  // rank 0 keeps the page until everybody has tried
  return mapped;
}

HostArrays::Array::Array(std::unique_ptr<HostMemory> host_memory, std::int64_t address_on_root)
    : memory(std::move(host_memory)), name(address_on_root), good(memory && pin(memory->data(), memory->bytes())) {}

HostArrays::Array::~Array() {
  if (good) unpin(memory->data());
}

float* HostArrays::make(std::size_t floats, NumaNodes nodes, bool mappable) {
  const std::size_t bytes = floats * sizeof(float);
  std::unique_ptr<HostMemory> memory = HostMemory::make(bytes, nodes, mappable);
  const std::int64_t name = memory ? address(memory->data()) : 0;
  own_.emplace_back(std::move(memory), name);
  if (own_.back().good) return static_cast<float*>(own_.back().memory->data());
  own_.pop_back();
  return mappable || nodes != 0 ? make(floats, 0, false) : nullptr;
}

void HostArrays::free(float* array) {
  own_.remove_if([array](const Array& own) { return own.name == address(array); });
}

std::vector<HostArrays::Told> HostArrays::tell() {
  std::vector<Told> all;
  for (Array& own : own_) {
    if (!own.memory->mappable()) continue;
    own.told = true;
    all.push_back({own.name, own.memory->ticket()});
  }
  return all;
}

bool HostArrays::map(const std::vector<Told>& told) {
  for (const Told& one : told) {
    of_root_.emplace_back(HostMemory::open(one.ticket), one.name);
    of_root_.back().told = true;
    if (of_root_.back().good) continue;
    of_root_.clear();
    return false;
  }
  return !told.empty();
}

// Why the size: where one array ends another may begin, and that address alone would name both.
const HostArrays::Array* HostArrays::find(const std::list<Array>& arrays, std::int64_t name, std::size_t floats) {
  const std::int64_t bytes = std::int64_t(std::max<std::size_t>(1, floats) * sizeof(float));
  for (const Array& array : arrays) {
    const std::int64_t end = array.name + std::int64_t(array.memory->bytes());
    if (array.told && name >= array.name && name + bytes <= end) return &array;
  }
  return nullptr;
}

std::int64_t HostArrays::name(const float* place, std::size_t floats) const {
  return find(own_, address(place), floats) ? address(place) : 0;
}

float* HostArrays::place(std::int64_t name, std::size_t floats) const {
  const Array* array = find(of_root_, name, floats);
  return array ? reinterpret_cast<float*>(static_cast<char*>(array->memory->data()) + (name - array->name)) : nullptr;
}
