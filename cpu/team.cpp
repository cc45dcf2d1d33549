#include "cpu/team.h"

#ifdef _OPENMP

#include <algorithm>
#include <cstring>
#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "common/failure.h"

int team_size(int wanted) { return std::min(wanted, omp_get_thread_limit()); }

// GCC's OpenMP ends the process where it gets no thread. So as many are started and ended first.
void start_team(int threads) {
  std::promise<void> all_there;
  const std::shared_future<void> there = all_there.get_future().share();
  std::vector<std::thread> others;
  others.reserve(threads);
  bool granted = true;
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back([there] { there.wait(); });
  } catch (const std::system_error&) {
    granted = false;
  }
  all_there.set_value();
  for (std::thread& other : others) other.join();
  if (!granted) {
    throw Failure(kMachine,
                  "the system grants " + std::to_string(others.size() + 1) + " of " + std::to_string(threads) +
                      " threads: use fewer --threads, or raise the limit (ulimit -u, a container's pids limit)");
  }
  parallel_team(threads, [](int, int) {});
}

// ---- OpenMP's variables

namespace {

// A team of ours has as many threads as CPUs, which the kernel spreads over them. What binds OpenMP's threads could only
// take CPUs away: GCC's OpenMP binds the first thread, from which all threads of the program inherit, before main(); and
// where mpirun had bound the process by then, to that one CPU for good. The others change a team's size, or let threads
// fail. Threads' number alone counts (run/cpus.h).
constexpr const char* kIgnored[] = {
    "OMP_PROC_BIND=", "OMP_PLACES=",     "GOMP_CPU_AFFINITY=", "KMP_AFFINITY=",         "OMP_DYNAMIC=",
    "OMP_STACKSIZE=", "GOMP_STACKSIZE=", "KMP_STACKSIZE=",     "OMP_MAX_ACTIVE_LEVELS="};

#if defined(__GNUC__) && !defined(__clang__)
__attribute__((no_sanitize_address, no_sanitize_undefined))
#endif
void ignore_variables(int, char**, char** variables) {
  char** kept = variables;
  for (char** variable = variables; *variable; ++variable) {
    bool ignored = false;
    for (const char* name : kIgnored) ignored = ignored || std::strncmp(*variable, name, std::strlen(name)) == 0;
    if (!ignored) *kept++ = *variable;
  }
  *kept = nullptr;
}

// Run by the dynamic linker before any library begins, with main()'s arguments.
__attribute__((section(".preinit_array"), used)) void (*const at_start)(int, char**, char**) = ignore_variables;

}  // namespace

#else

int team_size(int) { return 1; }
void start_team(int) {}

#endif
