#include "driver/ways_out.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <new>
#include <string>

#include "common/failure.h"
#include "common/printable.h"
#include "io/unfinished.h"
#include "run/launch.h"
#include "run/ranks.h"

namespace {

struct {
  const char* program = "facegen";
  std::atomic<bool> ending{false};             // one sentence was said, or none is needed any more
  std::atomic<std::FILE*> open_line{nullptr};  // has a line without an end
} g_state;

// The first of all threads that fail says why; the others wait for the end. Of ranks that have not met yet only one
// speaks: what is wrong with the arguments is wrong on every one.
[[noreturn]] void say_and_end(ExitStatus status, const char* sentence) noexcept {
  if (g_state.ending.exchange(true)) {
    for (;;) pause();
  }
  remove_unfinished_files();
  std::string program = "facegen", place;
  try {
    program = printable(g_state.program);
    place = rank_place();
  } catch (const std::bad_alloc&) {
  }
  if (std::FILE* file = g_state.open_line) {
    std::fputc('\n', file);
    std::fflush(file);
  }
  if (launched_rank() == 0 || !place.empty() || status != kUsage) {
    std::fprintf(stderr, "%s: %s%s%s\n", program.c_str(), place.c_str(), place.empty() ? "" : ": ", sentence);
  }
  end_job(status);
}

void on_signal(int signal) {
  g_state.ending = true;
  remove_unfinished_files();
  const char sentence[] = "\nfacegen: stopped by a signal; unfinished output files were removed\n";
  // In a larger job another rank, or mpirun, has said why. Nobody is left to hear that this could not be written.
  if (rank_count() == 1 && write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0) {
  }
  std::signal(signal, SIG_DFL);
  sigset_t this_one;
  sigemptyset(&this_one);
  sigaddset(&this_one, signal);
  pthread_sigmask(SIG_UNBLOCK, &this_one, nullptr);
  raise(signal);
  _exit(128 + signal);  // the first process of a container survives that
}

// Calls body(signal) for every signal that would end the process.
template <typename Body>
void for_ending_signals(const Body& body) {
  static constexpr int kOthers[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU,  // end nothing
                                    SIGKILL, SIGSTOP};                                              // cannot be caught
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (std::find(std::begin(kOthers), std::end(kOthers), signal) == std::end(kOthers)) body(signal);
  }
}

void on_terminate() {
  try {
    if (std::current_exception()) fail_now();
  } catch (...) {
  }
  say_and_end(kMachine, "the program ended itself; please report this");
}

// Libraries call exit() where they give up: libgomp without threads, MPI_Init without a place for its files.
void on_exit_of_others() {
  if (!g_state.ending) say_and_end(kMachine, "a library that the program uses has given up; its reason stands above");
}

}  // namespace

void guard_ways_out(const char* program_path) {
  const char* const slash = std::strrchr(program_path, '/');
  g_state.program = slash ? slash + 1 : program_path;
  // Open for the other direction, so that using it still fails.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) static_cast<void>(open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
  }
  for_ending_signals([](int signal) {
    struct sigaction now, ours = {};
    if (sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) return;
    ours.sa_handler = on_signal;
    sigfillset(&ours.sa_mask);  // a second signal waits until the first has cleaned up
    sigaction(signal, &ours, nullptr);
  });
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);  // failed writes say what and where
  std::set_terminate(on_terminate);
  std::atexit(on_exit_of_others);
}

void fail_now() noexcept {
  try {
    throw;
  } catch (const Failure& failure) {
    say_and_end(failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    say_and_end(kMachine, "out of memory; try a smaller --batch");
  } catch (const std::exception& error) {
    say_and_end(kMachine, printable(error.what()).c_str());
  } catch (...) {
    say_and_end(kMachine, "something failed that has no name; please report this");
  }
}

void ignore_signals() {
  for_ending_signals([](int signal) { std::signal(signal, SIG_IGN); });
}

void run_is_over() { g_state.ending = true; }

void note_open_line(std::FILE* file) { g_state.open_line = file; }
