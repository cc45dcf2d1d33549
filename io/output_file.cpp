#include "io/output_file.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "common/folder.h"
#include "common/wording.h"
#include "io/paths.h"
#include "io/unfinished.h"

namespace {

Failure cannot_open(const std::string& name, int error) { return cannot("write", name, error, kUsage); }

// ---- Reads and writes that signals do not interrupt; writes go on until everything is done. `name` is for sentences.

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

// ---- Files without a name, and files that cannot be replaced

std::string link_to(const Descriptor& file) { return "/proc/self/fd/" + std::to_string(file.get()); }

// A file without a name that may get one in this folder; not open where the file system, or the lack of /proc, does not
// allow it.
Descriptor open_nameless(const std::string& folder, mode_t mode) {
  Descriptor file(::open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, mode));
  return file.is_open() && ::access(link_to(file).c_str(), F_OK) == 0 ? std::move(file) : Descriptor();
}

// A temporary name is in use while its file is locked, and a killed run loses its locks. Removes what such runs have left:
// `start` and digits or dots, in this folder.
void remove_abandoned(const std::string& folder, const std::string& start) {
  for (const std::string& name : names_in(folder)) {
    if (name.rfind(start, 0) != 0 || name.find_first_not_of("0123456789.", start.size()) != name.npos) continue;
    const std::string path = folder + "/" + name;
    const Descriptor left(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (left.is_open() && ::flock(left.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  }
}

// Makes a file of this name, locked; EEXIST as errno where somebody has the name, or takes it away at this moment.
Descriptor create_locked(const char* name, mode_t mode) {
  Descriptor file(::open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  struct stat now;
  if (!file.is_open() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (file.is_open() && errno == EWOULDBLOCK) errno = EEXIST;
    return errno == EEXIST ? Descriptor() : std::move(file);  // a file system may know no locks
  }
  if (::fstat(file.get(), &now) != 0 || now.st_nlink > 0) return file;
  errno = EEXIST;
  return Descriptor();
}

// Why a file that may be written cannot be replaced by another of its name; "" where it can.
std::string why_irreplaceable(const std::string& path) {
  struct statx file, folder;
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS, &file) != 0 ||
      ::statx(AT_FDCWD, folder_of(path).c_str(), 0, STATX_BASIC_STATS, &folder) != 0) {
    return "";
  }
  const bool other_disk = file.stx_dev_major != folder.stx_dev_major || file.stx_dev_minor != folder.stx_dev_minor;
  const bool told = (file.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;  // since Linux 5.8
  if (told ? (file.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 : other_disk) return "it is a mount point";
  const uid_t user = ::geteuid();
  if ((folder.stx_mode & S_ISVTX) != 0 && file.stx_uid != user && folder.stx_uid != user) {
    return "it is another user's file in a folder with the sticky bit";
  }
  return "";
}

}  // namespace

OutputFile::OutputFile(const std::string& path, Order order)
    : name_(path == "-" ? "standard output" : ::quoted(path)), written_name_(name_) {
  struct stat old = {};
  if (path == "-") {
    target_file_ = Descriptor(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  } else if (::stat(path.c_str(), &old) == 0) {
    if (S_ISDIR(old.st_mode)) throw cannot_open(name_, EISDIR);
    target_file_ = Descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC));  // regular ones too: may it be written?
  } else if (errno != ENOENT) {
    throw cannot_open(name_, errno);
  }
  const bool exists = path == "-" || old.st_mode != 0;
  if (exists && !target_file_.is_open()) throw cannot_open(name_, errno);

  // Paths that stand for open files have no folder to give a name in.
  const auto starts_with = [&](const char* start) { return path.rfind(start, 0) == 0; };
  const bool open_already = starts_with("/dev/std") || starts_with("/dev/fd/") || starts_with("/proc/");
  if (exists && (open_already || !S_ISREG(old.st_mode))) {
    if (order == kAnyOrder) open_scratch();
    return;
  }

  target_ = follow_links(path);
  if (exists) {
    mode_ = old.st_mode & 0777;
    irreplaceable_ = why_irreplaceable(target_);
  }
  open_beside_target();
  if (!exists) return;
  // The old file's group and permissions; nobody else may read the new one in between.
  const bool same_group = ::fchown(written_.get(), ::geteuid() == 0 ? old.st_uid : uid_t(-1), old.st_gid) == 0;
  ::fchmod(written_.get(), mode_ & (same_group ? 0777 : 0707));
}

OutputFile::~OutputFile() { remove_temporary_name(); }

void OutputFile::open_beside_target() {
  const std::string folder = folder_of(target_), base = target_.substr(target_.rfind('/') + 1);
  if (base.empty()) throw cannot_open(name_, target_.empty() ? ENOENT : EISDIR);
  const std::string start = "." + base.substr(0, 200) + ".partial.";  // a name has at most 255 bytes
  temporary_ = folder + start + std::to_string(::getpid());
  written_ = open_nameless(folder, mode_);
  if (written_.is_open()) return;
  remove_abandoned(folder, start);
  const int error = take_temporary_name([this](const char* name) {
    written_ = create_locked(name, mode_);
    return written_.is_open();
  });
  if (error == 0) return;
  if (!target_file_.is_open() || (error != EACCES && error != EPERM && error != EROFS)) throw cannot_open(name_, error);
  irreplaceable_ = "its folder may not be written";
  open_scratch();
}

void OutputFile::open_scratch() {
  const char* const variable = std::getenv("TMPDIR");
  const std::string folder = variable != nullptr && *variable != '\0' ? variable : "/tmp";
  std::string path = folder + "/facegen.XXXXXX";
  written_name_ = "the scratch file " + ::quoted(path) + " (folder: $TMPDIR, else /tmp)";
  written_ = Descriptor(::open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  if (written_.is_open()) return;
  written_ = Descriptor(::mkostemp(&path[0], O_CLOEXEC));
  if (!written_.is_open()) throw cannot_open(written_name_, errno);
  ::unlink(path.c_str());
}

// Calls make(name) with names that nobody else has, until it succeeds -> 0, or an errno.
template <typename Make>
int OutputFile::take_temporary_name(const Make& make) {
  const std::string stem = temporary_;
  for (int attempt = 1;; ++attempt) {
    slot_ = note_unfinished(temporary_);
    if (make(temporary_.c_str())) return 0;
    const int error = errno;
    forget_unfinished(std::exchange(slot_, -1));
    if (error != EEXIST || attempt == 100) return error;
    temporary_ = stem + "." + std::to_string(attempt);
  }
}

void OutputFile::remove_temporary_name() {
  if (slot_ < 0) return;
  ::unlink(temporary_.c_str());
  forget_unfinished(std::exchange(slot_, -1));
}

void OutputFile::append(const void* data, std::size_t bytes) {
  write_all(written_.is_open() ? written_.get() : target_file_.get(), data, bytes, written_name_);
}

void OutputFile::write_at(std::int64_t place, const void* data, std::size_t bytes) {
  write_all_at(written_.get(), place, data, bytes, written_name_);
}

std::int64_t OutputFile::copy_to_target() {
  char part[1 << 16];
  std::int64_t done = 0;
  while (const std::size_t bytes = read_some_at(written_.get(), done, part, sizeof part, written_name_)) {
    write_all(target_file_.get(), part, bytes, name_);
    done += static_cast<std::int64_t>(bytes);
  }
  return done;
}

void OutputFile::finish() {
  const bool stream = target_.empty();
  if (stream && written_.is_open()) copy_to_target();
  // Some file systems report a write's failure only when a descriptor of the file is closed. EINTR closes it as well.
  const Descriptor& last = stream ? target_file_ : written_;
  const int copy = ::fcntl(last.get(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0 || (::close(copy) != 0 && errno != EINTR)) throw cannot("write", name_, errno);
  struct stat now;
  if (irreplaceable_.empty() || ::fstat(written_.get(), &now) != 0) return;
  // The disk must have room for the new contents before any of the old ones are lost; where it can say so.
  if (::fallocate(target_file_.get(), FALLOC_FL_KEEP_SIZE, 0, now.st_size) == 0) return;
  for (const int lack : {ENOSPC, EDQUOT, EFBIG}) {
    if (errno == lack) throw cannot("write", name_, lack);
  }
}

void OutputFile::publish() {
  if (target_.empty()) return;
  if (!irreplaceable_.empty()) {
    const std::int64_t bytes = copy_to_target();
    if (::ftruncate(target_file_.get(), bytes) != 0) throw cannot("write", name_, errno);
    return;
  }
  if (slot_ < 0) {  // it has no name yet
    const std::string file = link_to(written_);
    const auto link = [&](const char* name) {
      return ::linkat(AT_FDCWD, file.c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
    };
    if (link(target_.c_str())) return;
    // Only a rename puts a file in another's place.
    const int error = errno == EEXIST ? take_temporary_name(link) : errno;
    if (error != 0) throw cannot("write", name_, error);
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw cannot("write", name_, errno);
  forget_unfinished(std::exchange(slot_, -1));
}
