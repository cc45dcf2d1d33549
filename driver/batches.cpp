#include "driver/batches.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <fstream>
#include <string>

#include "common/failure.h"
#include "facegen_hooks.h"

namespace {

constexpr std::int64_t kMostBytes = std::int64_t(3500) << 20;  // of noise and faces: a run stays below 4 GiB

// Memory that can be had without swapping, in bytes: what the kernel says, else half of what there is.
std::int64_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "MemAvailable:" && file >> kibibytes) return kibibytes << 10;
  }
  return std::int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / 2;
}

}  // namespace

HostArray::HostArray(std::size_t floats) {
  if (floats == 0) return;
  data_ = facegen_alloc(floats);
  from_unit_ = data_ != nullptr;
  if (!from_unit_) data_ = static_cast<float*>(std::calloc(floats, sizeof(float)));
  if (!data_) {
    throw Failure(kMachine, "out of memory: no " + std::to_string((floats * sizeof(float)) >> 20) +
                                " MiB to be had for a batch of faces; try a smaller --batch");
  }
}

HostArray::~HostArray() { from_unit_ ? facegen_free(data_) : std::free(data_); }

Batches plan_batches(std::int64_t faces, std::int64_t wanted) {
  const std::int64_t liked = facegen_batch_faces();
  if (liked == 0) {
    if (faces > INT_MAX) {
      throw Failure(kBadInput, std::to_string(faces) + " faces are more than one call of facegen() takes (" +
                                   std::to_string(INT_MAX) + "): split the noise file");
    }
    return {faces, faces};
  }
  if (wanted > 0) return {faces, std::min(faces, wanted)};
  const std::int64_t bytes = std::min(kMostBytes, available_bytes() / 2);
  const std::int64_t fit = std::max<std::int64_t>(2, bytes / (kFaceBytes + kNoiseBytes));
  return {faces, std::min({faces, liked, faces <= fit ? faces : fit / 2})};
}
