#include "io/unfinished.h"

#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstring>

namespace {

// A fixed table: a signal handler may neither allocate nor wait.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<bool> named{false};
  char path[PATH_MAX];
};

constexpr int kSlots = 16;  // a run has two outputs
Slot slots[kSlots];
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler reads them");

}  // namespace

int note_unfinished(const std::string& path) {
  if (path.size() >= sizeof slots[0].path) return -1;
  for (int i = 0; i < kSlots; ++i) {
    if (slots[i].taken.exchange(true)) continue;
    std::memcpy(slots[i].path, path.c_str(), path.size() + 1);
    slots[i].named = true;
    return i;
  }
  return -1;
}

void forget_unfinished(int slot) {
  if (slot < 0) return;
  slots[slot].named = false;
  slots[slot].taken = false;
}

void remove_unfinished_files() {
  for (const Slot& slot : slots) {
    if (slot.named) ::unlink(slot.path);
  }
}
