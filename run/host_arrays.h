// Arrays in this rank's host memory that its devices copy to fastest. Rank 0's (network, noise, faces) are read and
// written in place by the ranks of its node where these can map them: what they compute needs no message, and no second
// copy. Where that cannot be (other nodes, containers, an array of the caller's own), ranks send messages instead, and
// nobody need know.
#ifndef FACEGEN_RUN_HOST_ARRAYS_H_
#define FACEGEN_RUN_HOST_ARRAYS_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "run/host_memory.h"  // defines: HostMemory
#include "run/numa.h"         // defines: NumaNodes

// Collective. Whether this rank is another one than 0 and can map memory of rank 0's. FACEGEN_SHARE=0: none can, to
// measure or test messages.
bool can_map_root_memory();

class HostArrays {
 public:
  HostArrays() = default;
  HostArrays(const HostArrays&) = delete;
  HostArrays& operator=(const HostArrays&) = delete;

  // Zeroed floats on those NUMA nodes (0: anywhere), page-locked where a GPU is open; nullptr where there is no such
  // memory. mappable: other ranks will be told of it.
  float* make(std::size_t floats, NumaNodes nodes, bool mappable);
  void free(float* array);

  // Where another rank finds an array of rank 0's, and what all ranks call its first byte: its address on rank 0.
  struct Told {
    std::int64_t name;
    HostMemory::Ticket ticket;
  };
  std::vector<Told> tell();                 // rank 0: all its mappable arrays
  bool map(const std::vector<Told>& told);  // another rank: all of them, or none

  // Rank 0: the name of that place for those that map it; 0 where not all `floats` from there lie in an array that was
  // told.
  std::int64_t name(const float* place, std::size_t floats) const;
  // Another rank: the place of `floats` floats by that name, as long as rank 0 keeps its array.
  float* place(std::int64_t name, std::size_t floats) const;

 private:
  // Memory of ours, page-locked as long as it is there.
  struct Array {
    Array(std::unique_ptr<HostMemory> host_memory, std::int64_t address_on_root);
    ~Array();
    std::unique_ptr<HostMemory> memory;
    std::int64_t name;
    bool good;          // there, and page-locked where a GPU is open
    bool told = false;  // rank 0's: others know of it
  };
  static const Array* find(const std::list<Array>& arrays, std::int64_t name, std::size_t floats);

  std::list<Array> own_;
  std::list<Array> of_root_;  // on ranks that map them
};

#endif  // FACEGEN_RUN_HOST_ARRAYS_H_
