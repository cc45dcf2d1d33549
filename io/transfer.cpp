#include "io/transfer.h"

#include <unistd.h>

#include <cerrno>

#include "common/wording.h"

namespace {

// Calls step(done), which moves some of the bytes [done, bytes) -> how many, as read(2) and write(2) do.
template <typename Step>
void move_all(std::size_t bytes, const char* verb, const std::string& name, const Step& step) {
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t moved = step(done);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) throw cannot(verb, name, moved < 0 ? errno : EIO);
    done += static_cast<std::size_t>(moved);
  }
}

}  // namespace

void write_all(int fd, const void* data, std::size_t bytes, const std::string& name) {
  const char* const from = static_cast<const char*>(data);
  move_all(bytes, "write", name, [&](std::size_t done) { return ::write(fd, from + done, bytes - done); });
}

void write_all_at(int fd, std::int64_t place, const void* data, std::size_t bytes, const std::string& name) {
  const char* const from = static_cast<const char*>(data);
  move_all(bytes, "write", name, [&](std::size_t done) {
    return ::pwrite(fd, from + done, bytes - done, static_cast<off_t>(place + static_cast<std::int64_t>(done)));
  });
}

void read_all_at(int fd, std::int64_t place, void* data, std::size_t bytes, const std::string& name) {
  char* const to = static_cast<char*>(data);
  move_all(bytes, "read", name, [&](std::size_t done) {
    return ::pread(fd, to + done, bytes - done, static_cast<off_t>(place + static_cast<std::int64_t>(done)));
  });
}
