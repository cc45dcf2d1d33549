#include "io/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/wording.h"
#include "io/transfer.h"
#include "io/unfinished.h"

namespace {

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// The file that a path leads to, whether it exists yet or not.
std::string follow_links(std::string path) {
  for (int links = 0; links < 40; ++links) {  // as many as Linux follows
    char to[4096];
    const ssize_t length = ::readlink(path.c_str(), to, sizeof to);
    if (length < 0) break;
    const std::string next(to, static_cast<std::size_t>(length));
    path = next[0] == '/' ? next : folder_of(path) + next;
  }
  return path;
}

}  // namespace

OutputFile::OutputFile(const std::string& path) : name_(path == "-" ? "standard output" : quoted(path)) {
  if (path == "-") {
    fd_ = STDOUT_FILENO;
    return;
  }
  struct stat info;
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) throw cannot("write", name_, EISDIR);
  // Paths that stand for open files have no folder to rename in.
  const bool open_already =
      starts_with(path, "/dev/std") || starts_with(path, "/dev/fd/") || starts_with(path, "/proc/");
  if (exists && (!S_ISREG(info.st_mode) || open_already)) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) throw cannot("write", name_, errno);
    return;
  }
  // Renaming would replace even a file that may not be written.
  if (exists && ::access(path.c_str(), W_OK) != 0) throw cannot("write", name_, errno);
  target_ = follow_links(path);
  open_temporary();
  if (exists) ::fchmod(fd_, info.st_mode & 0777);
}

void OutputFile::open_temporary() {
  const std::string folder = folder_of(target_);
  const std::string base = target_.substr(folder.size(), 200);  // leaves room in a name's 255 bytes
  const std::string stem = folder + "." + base + ".partial." + std::to_string(::getpid());
  for (int attempt = 0; attempt < 100; ++attempt) {
    temporary_ = attempt == 0 ? stem : stem + "." + std::to_string(attempt);
    slot_ = note_unfinished(temporary_);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) return;
    const int error = errno;
    forget_unfinished(slot_);
    slot_ = -1;
    if (error != EEXIST) throw cannot("write", name_, error);
  }
  throw cannot("write", name_, EEXIST);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0 && fd_ != STDOUT_FILENO) ::close(fd_);
  if (placeable()) ::unlink(temporary_.c_str());
  forget_unfinished(slot_);
}

void OutputFile::append(const void* data, std::size_t bytes) { write_all(fd_, data, bytes, name_); }

void OutputFile::write_at(std::int64_t place, const void* data, std::size_t bytes) {
  write_all_at(fd_, place, data, bytes, name_);
}

void OutputFile::finish() {
  const int fd = fd_;
  fd_ = -1;
  // Some file systems report a write's failure only here. EINTR leaves the file closed all the same.
  if (fd != STDOUT_FILENO && ::close(fd) != 0 && errno != EINTR) throw cannot("write", name_, errno);
  if (!placeable()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw cannot("write", name_, errno);
  temporary_.clear();
  forget_unfinished(slot_);
  slot_ = -1;
}
