// Host memory in whole pages, on NUMA nodes of choice, that other processes of this node can map as well.
#ifndef FACEGEN_RUN_HOST_MEMORY_H_
#define FACEGEN_RUN_HOST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "run/numa.h"

class HostMemory {
 public:
  // Where another process finds it: process, its file descriptor, a random name that tells a false find.
  struct Ticket {
    std::int64_t process, file, name, bytes;
  };

  // Zeroed memory on those nodes (0: anywhere), for others to open or for this process alone. nullptr where it is not
  // to be had.
  static std::unique_ptr<HostMemory> make(std::size_t bytes, NumaNodes nodes, bool for_others);

  // The same memory in another process, or nullptr where that cannot be: containers keep processes apart, say.
  static std::unique_ptr<HostMemory> open(const Ticket& ticket);

  ~HostMemory();
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  bool mappable() const { return file_ >= 0; }  // by others
  Ticket ticket() const;

 private:
  // Maps a file, which it takes over, or new memory (-1).
  static std::unique_ptr<HostMemory> map(int file, std::size_t bytes, std::int64_t name);
  HostMemory(void* data, std::size_t bytes, int file, std::int64_t name)
      : data_(data), bytes_(bytes), file_(file), name_(name) {}

  void* const data_;
  const std::size_t bytes_;
  const int file_;  // -1: not for others
  const std::int64_t name_;
};

#endif  // FACEGEN_RUN_HOST_MEMORY_H_
