#include "io/input_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/wording.h"

InputFile::InputFile(const std::string& path)
    : fd_(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)),
      name_(path == "-" ? "standard input" : quoted(path)) {
  if (fd_ < 0 && errno == ENOENT) throw Failure(kBadInput, name_ + " does not exist.");
  struct stat info;
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) throw cannot("read", name_, errno, kBadInput);
  if (S_ISDIR(info.st_mode)) {
    ::close(fd_);
    throw Failure(kBadInput, name_ + " is a directory, not a file.");
  }
  regular_ = S_ISREG(info.st_mode);
  size_ = info.st_size;
  if (!regular_) return;
  position_ = ::lseek(fd_, 0, SEEK_CUR);  // standard input may have been read in part
  if (position_ < 0) throw cannot("read", name_, errno);
}

InputFile::~InputFile() {
  if (fd_ != STDIN_FILENO) ::close(fd_);
}

std::size_t InputFile::read_some(void* to, std::size_t bytes) {
  for (;;) {
    const ssize_t got = ::read(fd_, to, bytes);
    if (got >= 0) {
      position_ += got;
      return static_cast<std::size_t>(got);
    }
    if (errno != EINTR) throw cannot("read", name_, errno);
  }
}

std::size_t InputFile::read(void* to, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const std::size_t got = read_some(static_cast<char*>(to) + done, bytes - done);
    if (got == 0) break;
    done += got;
  }
  return done;
}

bool InputFile::ready() const {
  pollfd wait = {fd_, POLLIN, 0};
  return ::poll(&wait, 1, 0) != 0;
}
