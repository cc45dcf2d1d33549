// A run cut into batches that take turns in memory, so that memory stays bounded for any number of faces.
#ifndef FACEGEN_DRIVER_BATCHES_H_
#define FACEGEN_DRIVER_BATCHES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "network.h"

using net::kFaceBytes;
using net::kNoiseBytes;

// Floats in the memory that the computing unit likes best (facegen_alloc), else in ordinary memory, zeroed. Throws
// Failure (kMachine) where there is none.
class HostArray {
 public:
  explicit HostArray(std::size_t floats);
  ~HostArray();
  HostArray(const HostArray&) = delete;
  HostArray& operator=(const HostArray&) = delete;
  float* data() const { return data_; }

 private:
  float* data_ = nullptr;
  bool from_unit_ = false;
};

// The run: batches of `most` faces, the last one smaller; one empty batch where there are no faces.
struct Batches {
  std::int64_t faces, most;
  std::string note;  // what the user should know of them
  std::int64_t count() const { return faces == 0 ? 1 : (faces + most - 1) / most; }
  std::int64_t size(std::int64_t k) const { return std::min(most, faces - k * most); }
};

// Cuts a run into batches of `wanted` faces, or fewer where two of them do not fit into the memory that is to be had.
// wanted = 0: all at once where they fit into a bounded piece of that memory, else as many as let two batches fit; but
// no more than the computing unit likes (facegen_batch_faces). threads: of this rank. Throws Failure where a unit wants
// all faces in one call and they do not fit.
Batches plan_batches(std::int64_t faces, std::int64_t wanted, int threads);

// What one batch is made of.
struct Batch {
  explicit Batch(std::int64_t faces) : noise(faces * net::kNoise), faces(faces * net::kFaceFloats) {}
  HostArray noise;  // (n, 100)
  HostArray faces;  // (n, 64, 64, 3)
};

#endif  // FACEGEN_DRIVER_BATCHES_H_
