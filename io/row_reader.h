// The numbers of a file of N rows: noise (N, 100) or faces (N, 64, 64, 3), as text or as .npy.
#ifndef FACEGEN_IO_ROW_READER_H_
#define FACEGEN_IO_ROW_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/paths.h"

struct RowKind {
  const char* noun;               // for sentences: "noise"
  std::vector<std::int64_t> row;  // {100}, {64, 64, 3}
  bool finite;                    // whether infinite and NaN are refused
};

// The kind of file goes by its ending: .npy, else text; "-" is standard input (text). What is wrong with the file is a
// Failure (kBadInput) whose sentence names it and the place.
class RowReader {
 public:
  // Opens the file and reads N. threads: how many may parse at a time (>= 1).
  static std::unique_ptr<RowReader> open(const std::string& path, const RowKind& kind, int threads);
  virtual ~RowReader() = default;

  virtual const std::string& name() const = 0;  // for sentences: 'noise.txt'
  virtual std::int64_t rows() const = 0;        // N, in [0, kMostFaces]

  // The next numbers -> how many came: fewer than `count` only where the file ends, or before a word that is no number,
  // which the next call throws.
  virtual std::int64_t read(std::int64_t count, float* to) = 0;

  virtual std::int64_t most_left() const = 0;  // no more numbers can follow
  virtual bool surplus() = 0;                  // whether anything follows; of a pipe, whether it is there now
};

// The two kinds behind open().
std::unique_ptr<RowReader> open_text_rows(const std::string& path, const RowKind& kind, int threads);
std::unique_ptr<RowReader> open_npy_rows(const std::string& path, const RowKind& kind);

inline std::unique_ptr<RowReader> RowReader::open(const std::string& path, const RowKind& kind, int threads) {
  return has_ending(path, ".npy") ? open_npy_rows(path, kind) : open_text_rows(path, kind, threads);
}

#endif  // FACEGEN_IO_ROW_READER_H_
