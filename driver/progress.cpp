#include "driver/progress.h"

#include <unistd.h>

#include <cstdio>

#include "common/decimal.h"

namespace {
constexpr auto kPause = std::chrono::milliseconds(200);  // between two looks of the line
const char* const kFresh = "\r\033[K";                   // back to the start of a line that is now empty
}  // namespace

Progress::Progress(bool quiet) : shown_(!quiet && isatty(STDERR_FILENO)) {}

void Progress::start(std::int64_t faces, const std::string& before) {
  before_ = before;
  faces_ = faces;
  start_ = last_ = Clock::now();
}

void Progress::within_batch(std::int64_t faces_done) {
  const Clock::time_point now = Clock::now();
  if (!shown_ || now - last_ < kPause) return;
  last_ = now;
  const std::int64_t done = batches_done_ + faces_done;
  const double rate = double(done) / std::chrono::duration<double>(now - start_).count();
  std::string line = kFresh + before_ + (before_.empty() ? "" : " ") + std::to_string(done) + " of " +
                     std::to_string(faces_) + " faces, " + decimal(rate, 0) + " faces/s";
  if (done > 0) line += ", " + decimal(double(faces_ - done) / rate, 0) + " s left";
  std::fputs(line.c_str(), stderr);
  on_screen_ = true;
}

void Progress::batch_done(std::int64_t faces) {
  batches_done_ += faces;
  within_batch(0);
}

void Progress::end() {
  if (on_screen_) std::fputs((kFresh + before_).c_str(), stderr);
  on_screen_ = false;
}
