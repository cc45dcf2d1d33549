#include "io/transfer.h"

#include <unistd.h>

#include <cerrno>

#include "common/wording.h"

namespace {

// Calls step(done), which writes some of the bytes [done, bytes) -> how many, as write(2) does.
template <typename Step>
void move_all(std::size_t bytes, const std::string& name, const Step& step) {
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t moved = step(done);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) throw cannot("write", name, moved < 0 ? errno : EIO);
    done += static_cast<std::size_t>(moved);
  }
}

}  // namespace

void write_all(int fd, const void* data, std::size_t bytes, const std::string& name) {
  const char* const from = static_cast<const char*>(data);
  move_all(bytes, name, [&](std::size_t done) { return ::write(fd, from + done, bytes - done); });
}

void write_all_at(int fd, std::int64_t place, const void* data, std::size_t bytes, const std::string& name) {
  const char* const from = static_cast<const char*>(data);
  move_all(bytes, name, [&](std::size_t done) {
    return ::pwrite(fd, from + done, bytes - done, static_cast<off_t>(place + static_cast<std::int64_t>(done)));
  });
}

std::size_t read_some_at(int fd, std::int64_t place, void* data, std::size_t bytes, const std::string& name) {
  for (;;) {
    const ssize_t got = ::pread(fd, data, bytes, static_cast<off_t>(place));
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) throw cannot("read", name, errno);
  }
}
