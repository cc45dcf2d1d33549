#include "common/wording.h"

#include <locale.h>
#include <string.h>

#include <cerrno>
#include <cstddef>

#include "common/printable.h"

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

// The name, or what it stands for, is wrong; not the machine.
bool is_users(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
    case EILSEQ:  // not in this file system's letters,
    case EINVAL:  // nor such a name
    case ETXTBSY:
    case EBUSY:
    case ENXIO:  // a socket, a device that is not there
    case ENODEV:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string quoted(std::string_view path) { return "'" + printable(path) + "'"; }

std::string quoted_word(std::string_view word) {
  std::size_t most = 40;  // bytes
  if (word.size() <= most) return quoted(word);
  while (most > 37 && (word[most] & 0xc0) == 0x80) --most;  // a character of UTF-8 is not cut in two
  return "'" + printable(word.substr(0, most)) + "...'";
}

Failure cannot(const std::string& verb, const std::string& file, int error, ExitStatus of_user) {
  static const locale_t plain = ::newlocale(LC_ALL_MASK, "C", nullptr);  // the same words whatever a unit sets
  const std::string hint = verb == "read" ? "" : what_to_do(error);
  return Failure(is_users(error) ? of_user : kMachine,
                 "cannot " + verb + " " + file + ": " + ::strerror_l(error, plain) + "." + hint);
}
