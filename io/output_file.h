// A file that appears under its name only when it is complete.
#ifndef FACEGEN_IO_OUTPUT_FILE_H_
#define FACEGEN_IO_OUTPUT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

// Written under a temporary name in the target's folder and renamed by finish(); removed by the destructor otherwise.
// A target that exists and is no regular file (a pipe, /dev/full) and "-", standard output, are written directly.
// Every call may throw Failure (kMachine), which says the file, the reason and what to do.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Writes behind what append() has written before.
  void append(const void* data, std::size_t bytes);

  // Whether write_at() works: it writes at any place, in any order, from any number of threads at a time.
  bool placeable() const { return !temporary_.empty(); }
  void write_at(std::int64_t place, const void* data, std::size_t bytes);

  void finish();

 private:
  void open_temporary();

  std::string name_;       // for sentences
  std::string target_;     // the file itself, symbolic links followed
  std::string temporary_;  // empty where the target is written directly
  int fd_ = -1;
  int slot_ = -1;  // in the list of unfinished files
};

#endif  // FACEGEN_IO_OUTPUT_FILE_H_
