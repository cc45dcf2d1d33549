#include "driver/lines.h"

#include <unistd.h>

#include "common/decimal.h"
#include "common/failure.h"
#include "common/printable.h"
#include "driver/ways_out.h"

void Lines::begin(const std::string& what) {
  open_ = printable(what) + "...";
  note_open_line(file_);
  print_or_fail(open_, file_);
}

void Lines::end() {
  open_.clear();
  note_open_line(nullptr);
  print_or_fail(" done!\n", file_);
}

void Lines::elapsed(double seconds) { print_or_fail("Elapsed time : " + decimal(seconds, 6) + " sec\n", file_); }

std::string Lines::on_terminal() const {
  return isatty(fileno(file_)) && isatty(STDERR_FILENO) ? open_ : std::string();
}

void print_or_fail(const std::string& text, std::FILE* file) {
  if (std::fputs(text.c_str(), file) >= 0 && std::fflush(file) == 0) return;
  throw Failure(kMachine, std::string(file == stdout ? "standard output" : "standard error") +
                              " cannot be written: it was closed, or its disk is full");
}
