// One picture of all faces: a square sheet of ceil(sqrt(N)) x ceil(sqrt(N)) cells, in row-major order, unused ones
// black.
#ifndef FACEGEN_IO_SHEET_WRITER_H_
#define FACEGEN_IO_SHEET_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "io/writers.h"
#include "network.h"

// Gathers one row of cells, a band, and hands it on as soon as it is complete: more is never held.
class SheetWriter : public FileWriter {
 public:
  void write(std::int64_t n, const float* faces) final;
  void finish() final;

 protected:
  SheetWriter(const std::string& path, OutputFile::Order order, std::int64_t faces, int threads);

  std::int64_t side() const { return side_; }  // cells a row and a column
  std::int64_t row_bytes() const { return side_ * net::kFaceW * net::kFaceC; }
  std::size_t band_bytes() const { return static_cast<std::size_t>(row_bytes()) * net::kFaceH; }

  // The cells of row `row`, counted from the top; bands come in that order. band (64, 64 * side, 3), in BMP's order:
  // the lowest line first, each pixel as blue, green, red.
  virtual void write_band(std::int64_t row, const std::uint8_t* band) = 0;
  virtual void finish_picture() {}

 private:
  void draw(const float* face, std::int64_t column);
  void end_band();

  const std::int64_t side_;
  const int threads_;
  std::int64_t done_ = 0;  // faces written
  std::vector<std::uint8_t> band_;
};

// ceil(sqrt(faces)).
std::int64_t sheet_side(std::int64_t faces);

// Channels of a face, y in [-1, 1] -> (int)((y + 1) / 2 * 255) in float arithmetic, as C computes it; anything beyond
// is clamped, NaN gives 0.
void to_bytes(std::size_t n, const float* y, std::uint8_t* bytes);

#endif  // FACEGEN_IO_SHEET_WRITER_H_
