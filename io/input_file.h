// A file, a pipe or standard input, read from front to end.
#ifndef FACEGEN_IO_INPUT_FILE_H_
#define FACEGEN_IO_INPUT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

class InputFile {
 public:
  // "-" is standard input. Throws Failure (kBadInput) where the path does not exist, is a directory, may not be read.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& name() const { return name_; }              // for sentences: 'noise.txt', standard input
  bool regular() const { return regular_; }                      // a file on a disk, not a pipe or a device
  std::int64_t bytes_left() const { return size_ - position_; }  // only where regular()

  // Reads until `bytes` bytes have come or the file ends -> how many came.
  std::size_t read(void* to, std::size_t bytes);

  // As read(), but of a pipe or a device only what is there now (waits for the first byte) -> 0 at the end.
  std::size_t read_some(void* to, std::size_t bytes);

  // Whether read_some() would return at once.
  bool ready() const;

 private:
  int fd_;
  std::string name_;
  bool regular_ = false;
  std::int64_t size_ = 0;
  std::int64_t position_ = 0;
};

#endif  // FACEGEN_IO_INPUT_FILE_H_
