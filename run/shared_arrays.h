// Rank 0's arrays of network, noise and faces, which the ranks of its node read and write in place: what they compute
// needs no message, and no second copy. Where that cannot be (other nodes, containers, an array of the caller's own),
// ranks send messages instead, and nobody need know.
#ifndef FACEGEN_RUN_SHARED_ARRAYS_H_
#define FACEGEN_RUN_SHARED_ARRAYS_H_

#include <cstddef>
#include <cstdint>

#include "run/numa.h"

// Floats in the memory that this rank's devices, and those of the ranks beside it, copy to fastest: on those NUMA
// nodes, page-locked where a GPU is open. nullptr: ordinary memory does as well.
float* alloc_array(std::size_t floats, NumaNodes nodes);
void free_array(float* array);

// Called by every rank once rank 0 has its arrays: the ranks beside it map them, and their GPUs learn of them.
void share_arrays();

bool beside_root();               // this rank is another one than 0, on its node
bool sees_root_arrays(int rank);  // that rank can see every array that rank 0 has

// Rank 0: what the others call this place in an array of alloc_array; 0 where `floats` from there are not in one.
std::int64_t shared_name(const float* place, std::size_t floats);
// Other ranks: the place of that name, as long as rank 0 keeps its array.
float* shared_place(std::int64_t name);

// Lets go of rank 0's arrays.
void forget_root_arrays();

#endif  // FACEGEN_RUN_SHARED_ARRAYS_H_
