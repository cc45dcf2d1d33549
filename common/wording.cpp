#include "common/wording.h"

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <system_error>

namespace {

const char* what_to_do(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return " Free some space there, or name a file on another disk.";
    case EFBIG:
      return " Raise the limit on file sizes (ulimit -f), or ask for fewer faces.";
    case EPIPE:
      return " Whatever was reading it has ended.";
    case EACCES:
    case EPERM:
    case EROFS:
      return " Name a file in a folder that you may write to.";
    case ENOENT:
    case ENOTDIR:
      return " Create its folder first, or name a file in one that exists.";
    case EISDIR:
      return " Name a file in it.";
    default:
      return "";
  }
}

// Bytes that a terminal may act on, and those above `last`, as \xNN.
std::string escaped(std::string_view text, unsigned last) {
  std::string out;
  for (const char c : text) {
    const unsigned byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f && byte <= last) {
      out += c;
    } else {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", byte);
      out += hex;
    }
  }
  return out;
}

}  // namespace

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string quoted(std::string_view path) { return "'" + escaped(path, 0xff) + "'"; }

std::string quoted_word(std::string_view word) {
  constexpr std::size_t kMost = 40;
  return "'" + escaped(word.substr(0, kMost), 0x7e) + (word.size() > kMost ? "...'" : "'");
}

Failure cannot(const std::string& verb, const std::string& file, int error, ExitStatus status) {
  const std::string hint = verb == "read" ? "" : what_to_do(error);
  return Failure(status, "cannot " + verb + " " + file + ": " + std::generic_category().message(error) + "." + hint);
}
