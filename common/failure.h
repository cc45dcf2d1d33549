// How anything that goes wrong travels: an exception with one sentence and the exit status it deserves.
#ifndef FACEGEN_COMMON_FAILURE_H_
#define FACEGEN_COMMON_FAILURE_H_

#include <stdexcept>
#include <string>

#include "common/printable.h"

enum ExitStatus {
  kDone = 0,
  kBadInput = 1,  // bad input, or a failed check
  kUsage = 2,     // wrong usage
  kMachine = 3,   // the machine failed: GPU, MPI, memory, disk
};

// The sentence says what, where, expected, found, and what to do; no program name. Whatever a file, a name or a variable
// put into it stays one line that a terminal only shows.
class Failure : public std::runtime_error {
 public:
  Failure(ExitStatus status, const std::string& sentence) : std::runtime_error(printable(sentence)), status_(status) {}
  ExitStatus status() const { return status_; }

 private:
  ExitStatus status_;
};

#endif  // FACEGEN_COMMON_FAILURE_H_
