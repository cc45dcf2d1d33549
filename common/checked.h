// How many faces there can be. Every count of faces that comes from outside (a noise file, an output file, an option)
// is checked against this one bound where it enters, so that no product made of it later can overflow: that of the
// largest run is checked here, at compile time.
#ifndef FACEGEN_COMMON_CHECKED_H_
#define FACEGEN_COMMON_CHECKED_H_

#include <cstddef>
#include <cstdint>
#include <limits>

#include "network.h"

constexpr std::int64_t kMostFaces = std::numeric_limits<int>::max();  // facegen() counts them in an int

// A face's value takes at most 56 bytes (as text), and the square sheet of N faces has fewer than 4N cells (N >= 1).
static_assert(kMostFaces <= std::numeric_limits<std::int64_t>::max() / net::kFaceFloats / (4 * 56), "bytes of a run");
static_assert(sizeof(std::size_t) >= sizeof(std::int64_t), "which are counted in a size_t too");

#endif  // FACEGEN_COMMON_CHECKED_H_
