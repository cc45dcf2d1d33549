// The sheet as BMP, the course's kind: 24 bits a pixel, not compressed, the lowest line first.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/wording.h"
#include "io/sheet_writer.h"

namespace {

constexpr std::int64_t kHeaderBytes = 14 + 40;

// The size fields have 32 bits.
constexpr std::int64_t file_bytes(std::int64_t side) { return kHeaderBytes + side * side * net::kFaceFloats; }
constexpr std::int64_t kMostSide = 591;
static_assert(file_bytes(kMostSide) <= std::numeric_limits<std::uint32_t>::max(), "fits");
static_assert(file_bytes(kMostSide + 1) > std::numeric_limits<std::uint32_t>::max(), "and no larger sheet does");

void append_number(std::string* header, std::int64_t value, int bytes) {  // little-endian
  for (int i = 0; i < bytes; ++i) *header += static_cast<char>(value >> (8 * i) & 0xff);
}

std::string make_header(std::int64_t side) {
  const std::int64_t pixels = side * net::kFaceW;
  std::string header = "BM";
  append_number(&header, file_bytes(side), 4);
  append_number(&header, 0, 4);                                // reserved
  append_number(&header, kHeaderBytes, 4);                     // where the pixels start
  append_number(&header, 40, 4);                               // size of the rest of the header
  append_number(&header, pixels, 4);                           // width
  append_number(&header, pixels, 4);                           // height; positive: the lowest line first
  append_number(&header, 1, 2);                                // planes
  append_number(&header, 24, 2);                               // bits a pixel
  append_number(&header, 0, 4);                                // not compressed
  append_number(&header, file_bytes(side) - kHeaderBytes, 4);  // lines of 64n * 3 bytes need no padding to 4
  for (int i = 0; i < 4; ++i) append_number(&header, 0, 4);    // resolution (2), colours (2)
  return header;
}

// The top band comes first but lies last in the file.
class BmpWriter : public SheetWriter {
 public:
  BmpWriter(const std::string& path, std::int64_t faces, int threads)
      : SheetWriter(path, OutputFile::kAnyOrder, faces, threads) {
    const std::string header = make_header(side());
    file_.append(header.data(), header.size());
  }

 private:
  void write_band(std::int64_t row, const std::uint8_t* band) override {
    const std::int64_t rows_below = side() - 1 - row;
    file_.write_at(kHeaderBytes + rows_below * static_cast<std::int64_t>(band_bytes()), band, band_bytes());
  }
};

}  // namespace

std::unique_ptr<FaceWriter> open_bmp_sheet(const std::string& path, std::int64_t faces, int threads) {
  if (sheet_side(faces) > kMostSide) {
    throw Failure(kBadInput, "a sheet of " + grouped(faces) +
                                 " faces is too large for a BMP file, which ends at 4 GiB (" +
                                 grouped(kMostSide * kMostSide) + " faces). Name a .png file or none in place of " +
                                 quoted(path) + ", or ask for fewer faces.");
  }
  return std::make_unique<BmpWriter>(path, faces, threads);
}
