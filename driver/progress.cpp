#include "driver/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPause = std::chrono::milliseconds(200);  // between two looks of the line

bool g_shown = false;      // on a terminal, and not --quiet
bool g_on_screen = false;  // the line is there now
std::int64_t g_faces = 0, g_batches_done = 0;
Clock::time_point g_start, g_last;

}  // namespace

void progress_start(std::int64_t faces, bool quiet) {
  g_shown = !quiet && isatty(STDERR_FILENO);
  g_faces = faces;
  g_batches_done = 0;
  g_start = g_last = Clock::now();
}

void progress_within_batch(int faces_done) {
  const Clock::time_point now = Clock::now();
  if (!g_shown || now - g_last < kPause) return;
  g_last = now;
  const double seconds = std::chrono::duration<double>(now - g_start).count();
  const std::int64_t done = g_batches_done + faces_done;
  const double rate = double(done) / seconds;
  std::fprintf(stderr, "\r\033[K%lld of %lld faces, %.0f faces/s", static_cast<long long>(done),
               static_cast<long long>(g_faces), rate);
  if (done > 0) std::fprintf(stderr, ", %.0f s left", double(g_faces - done) / rate);
  g_on_screen = true;
}

void progress_batch_done(std::int64_t faces) {
  g_batches_done += faces;
  progress_within_batch(0);
}

void progress_end() {
  if (g_on_screen) std::fputs("\r\033[K", stderr);
  g_on_screen = false;
}
