// How sentences about files are worded.
#ifndef FACEGEN_COMMON_WORDING_H_
#define FACEGEN_COMMON_WORDING_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/failure.h"

// 20549132 -> "20,549,132".
std::string grouped(std::int64_t number);

// A path in quotes; printable.
std::string quoted(std::string_view path);

// A word found in a file, in quotes: the start of it, for it may be of any length; printable.
std::string quoted_word(std::string_view word);

// "cannot write 'x': No space left on device. Free some space ..."; error is an errno. Status 3, but of_user where the
// error says that there is no such file, or none that may be used so.
Failure cannot(const std::string& verb, const std::string& file, int error, ExitStatus of_user = kMachine);

#endif  // FACEGEN_COMMON_WORDING_H_
