// How sentences about files are worded.
#ifndef FACEGEN_IO_WORDING_H_
#define FACEGEN_IO_WORDING_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/failure.h"

// 20549132 -> "20,549,132".
std::string grouped(std::int64_t number);

// Text from a file or a command line, in quotes and fit for a terminal: control bytes as \xNN, long text cut.
std::string quoted(std::string_view text);

// "cannot write 'x': No space left on device. Free some space ..."; error is an errno.
Failure cannot(const std::string& verb, const std::string& file, int error, ExitStatus status = kMachine);

#endif  // FACEGEN_IO_WORDING_H_
