#include "driver/course_globals.h"

#include <algorithm>
#include <chrono>
#include <climits>

#include "network.h"

// All of it is weak: a unit may define any of these itself, and then its own one counts, and is set as well.
#define WEAK __attribute__((weak))

extern "C" {
WEAK int num_to_gen, mpi_rank, mpi_size;
extern WEAK const int NETWORK_SIZE_IN_BYTES;
const int NETWORK_SIZE_IN_BYTES = net::kNetworkBytes;
}

void set_course_globals(std::int64_t faces, int rank, int ranks) {
  num_to_gen = int(std::min<std::int64_t>(faces, INT_MAX));
  mpi_rank = rank;
  mpi_size = ranks;
}

// The skeleton's timers, in seconds; it has eight.
namespace {
using Clock = std::chrono::steady_clock;
Clock::time_point g_started[256];
Clock::time_point& started(int timer) { return g_started[unsigned(timer) % 256]; }
}  // namespace

extern "C" {
WEAK void timer_start(int timer) { started(timer) = Clock::now(); }
WEAK double timer_stop(int timer) { return std::chrono::duration<double>(Clock::now() - started(timer)).count(); }

// The same for a C++ unit whose timer.h declares them without extern "C".
WEAK void timer_start_cpp(int) __asm__("_Z11timer_starti") __attribute__((alias("timer_start")));
WEAK double timer_stop_cpp(int) __asm__("_Z10timer_stopi") __attribute__((alias("timer_stop")));
}
