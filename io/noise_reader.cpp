#include <algorithm>
#include <cstddef>

#include "common/wording.h"
#include "io/readers.h"
#include "io/row_reader.h"
#include "network.h"

NoiseReader::NoiseReader(const std::string& path, int threads)
    : rows_(RowReader::open(path, {"noise", {net::kNoise}, true}, threads)) {
  // A file too small for its N is refused now, before anybody makes room for N faces.
  float thrown_away[4096];
  while (rows_->most_left() < faces() * net::kNoise - taken_) take(std::size(thrown_away), thrown_away);
}

NoiseReader::~NoiseReader() = default;

std::int64_t NoiseReader::faces() const { return rows_->rows(); }

void NoiseReader::read(std::int64_t n, float* noise) {
  for (const float* const end = noise + n * net::kNoise; noise < end;) noise += take(end - noise, noise);
}

bool NoiseReader::surplus() { return rows_->surplus(); }

// Up to `count` of the next numbers -> how many, at least one.
std::int64_t NoiseReader::take(std::int64_t count, float* to) {
  const std::int64_t got = rows_->read(count, to);
  if (got == 0) {
    throw Failure(kBadInput, rows_->name() + " ends early: N = " + grouped(faces()) + " faces need " +
                                 grouped(faces() * net::kNoise) + " numbers, and it holds " + grouped(taken_) + ".");
  }
  taken_ += got;
  return got;
}
