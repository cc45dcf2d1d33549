#include "driver/batches.h"

#include <climits>
#include <cstdlib>

#include "common/failure.h"
#include "common/limits.h"
#include "common/wording.h"
#include "facegen_hooks.h"
#include "run/ranks.h"

namespace {

constexpr std::int64_t kMostBytes = std::int64_t(3500) << 20;  // of noise and faces: a run stays below 4 GiB
constexpr std::int64_t kOtherBytes = 64 << 20;                 // what a run needs beside them,
constexpr std::int64_t kThreadBytes = 10 << 20;                // and each thread of it

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

Batches plan_batches(std::int64_t faces, std::int64_t wanted, int threads) {
  constexpr std::int64_t kEach = kFaceBytes + kNoiseBytes;
  const std::int64_t beside = (kOtherBytes + kThreadBytes * threads) * node_place().count;
  const std::int64_t left = std::max<std::int64_t>(0, available_memory() - beside);
  const auto mebibytes = [](std::int64_t bytes) { return grouped(bytes >> 20) + " MiB"; };

  const std::int64_t liked = facegen_batch_faces();
  if (liked == 0) {
    if (faces > INT_MAX) {
      throw Failure(kBadInput, grouped(faces) + " faces are more than one call of facegen() takes (" +
                                   grouped(INT_MAX) + "): split the noise file");
    }
    const std::int64_t most = available_memory(kSwapToo);
    if (faces * kEach > most) {
      throw Failure(kMachine, "out of memory: " + grouped(faces) + " faces in one call of facegen() need " +
                                  mebibytes(faces * kEach) + ", and " + mebibytes(most) +
                                  " are to be had: split the noise file");
    }
    return {faces, faces, ""};
  }
  // Whether all faces lie in memory at once, or two batches take turns.
  const auto most_in = [&](std::int64_t bytes) {
    return faces * kEach <= bytes ? faces : std::max<std::int64_t>(1, bytes / kEach / 2);
  };
  if (wanted == 0) return {faces, std::min({faces, liked, most_in(std::min(left / 2, kMostBytes))}), ""};
  const std::int64_t most = std::min(faces, most_in(left));
  if (std::min(faces, wanted) <= most) return {faces, std::min(faces, wanted), ""};
  return {faces, most,
          "warning: batches of " + grouped(wanted) + " faces need more memory than the " + mebibytes(left) +
              " that are to be had: taking " + grouped(most) + " faces at a time"};
}
