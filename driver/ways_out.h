// Every way in which a run can end before its time leaves nothing half-written behind, gives one sentence, and ends the
// other ranks as well: a Failure or another exception in any thread, a signal, a library that calls exit().
#ifndef FACEGEN_DRIVER_WAYS_OUT_H_
#define FACEGEN_DRIVER_WAYS_OUT_H_

#include <cstdio>

// Called first in main(). Signals that were ignored at the start stay ignored; a standard stream that was closed stays
// unusable, but no file of ours can take its number.
void guard_ways_out(const char* program_path);

// Ends the job because of the exception that is being handled. It does not unwind: a thread that reads or writes a pipe
// may be waiting for ever, and what that uses has to stay.
[[noreturn]] void fail_now() noexcept;

// The outputs get their names now: no signal may come between them.
void ignore_signals();

// From here on exit() is no failure.
void run_is_over();

// A line stands unfinished in this file (nullptr: in none); a sentence that says why the run ends gets a line of its own.
void note_open_line(std::FILE* file);

#endif  // FACEGEN_DRIVER_WAYS_OUT_H_
