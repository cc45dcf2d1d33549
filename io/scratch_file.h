// A file without a name, gone when it is closed.
#ifndef FACEGEN_IO_SCRATCH_FILE_H_
#define FACEGEN_IO_SCRATCH_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

// Made in $TMPDIR, else /tmp. Every call may throw Failure (kMachine).
class ScratchFile {
 public:
  ScratchFile();
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void write_at(std::int64_t place, const void* data, std::size_t bytes);
  void read_at(std::int64_t place, void* data, std::size_t bytes) const;

 private:
  std::string name_;
  int fd_ = -1;
};

#endif  // FACEGEN_IO_SCRATCH_FILE_H_
