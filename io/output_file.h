// A file that appears under its name only when it is complete, and the whole run with it.
#ifndef FACEGEN_IO_OUTPUT_FILE_H_
#define FACEGEN_IO_OUTPUT_FILE_H_

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

// An open file that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Written to a file without a name in the target's folder, until publish() names it: whatever ends the run before that
// leaves nothing behind, and what was there before stays. Where the file system knows no such files it has a temporary
// name (io/unfinished.h). A target that cannot be replaced (a mount point, another user's file in a sticky folder, a
// file in a folder that may not be written) is written over by publish() instead.
//
// A target that is no regular file (a pipe, /dev/full), or that is open already ("-", standard output), is written as
// the data comes.
//
// Every call may throw Failure, which says the file, the reason and what to do: kUsage from the constructor where the
// path is one that cannot be written, else kMachine.
class OutputFile {
 public:
  enum Order { kInOrder, kAnyOrder };  // kAnyOrder: write_at() works, and a pipe gets its data in finish()

  explicit OutputFile(const std::string& path, Order order = kInOrder);
  ~OutputFile();  // gives up what was not published
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Why publish() writes over the target, as the end of a sentence; "" where it does not.
  const std::string& irreplaceable() const { return irreplaceable_; }

  void append(const void* data, std::size_t bytes);                        // behind what append() has written before
  void write_at(std::int64_t place, const void* data, std::size_t bytes);  // from any number of threads at a time

  void finish();   // all was written: only its name is missing
  void publish();  // after finish()

 private:
  void open_beside_target();
  void open_scratch();
  template <typename Make>
  int take_temporary_name(const Make& make);
  void remove_temporary_name();
  std::int64_t copy_to_target();

  std::string name_;           // for sentences,
  std::string written_name_;   // and that of written_, where that is elsewhere
  std::string target_;         // the file itself, symbolic links followed; empty: a stream
  std::string irreplaceable_;  // why target_ is written over
  std::string temporary_;      // a name for written_ in target_'s folder,
  int slot_ = -1;              // and its place in the list of unfinished files while it has that name
  mode_t mode_ = 0666;         // permissions; of a new file without those that the umask takes
  Descriptor target_file_;     // the stream, or the old file
  Descriptor written_;         // what is written to first; not open where that is the stream itself
};

#endif  // FACEGEN_IO_OUTPUT_FILE_H_
