#include "io/sheet_writer.h"

#include <algorithm>
#include <cmath>

#include "io/parallel.h"

std::int64_t sheet_side(std::int64_t faces) {
  std::int64_t side = static_cast<std::int64_t>(std::sqrt(static_cast<double>(faces)));
  while (side * side < faces) ++side;
  return side;
}

void to_bytes(std::size_t n, const float* y, std::uint8_t* bytes) {
  for (std::size_t i = 0; i < n; ++i) {
    const float value = (y[i] + 1) / 2 * 255;
    const float at_least_0 = value > 0 ? value : 0;  // NaN too
    bytes[i] = static_cast<std::uint8_t>(static_cast<int>(at_least_0 < 255 ? at_least_0 : 255));
  }
}

SheetWriter::SheetWriter(const std::string& path, OutputFile::Order order, std::int64_t faces, int threads)
    : FileWriter(path, order), side_(sheet_side(faces)), threads_(threads), band_(band_bytes()) {}

void SheetWriter::write(std::int64_t n, const float* faces) {
  constexpr std::int64_t kThreadFaces = 32;  // fewer are not worth a thread
  while (n > 0) {
    const std::int64_t column = done_ % side_;
    const std::int64_t now = std::min(n, side_ - column);
    const int threads = static_cast<int>(std::min<std::int64_t>(threads_, now / kThreadFaces));
    run_parallel(threads, now, [&](int, std::int64_t i) { draw(faces + i * net::kFaceFloats, column + i); });
    faces += now * net::kFaceFloats;
    n -= now;
    done_ += now;
    if (done_ % side_ == 0) end_band();
  }
}

// face (64, 64, 3), top line and red first -> its cell of the band.
void SheetWriter::draw(const float* face, std::int64_t column) {
  constexpr int kLine = net::kFaceW * net::kFaceC;
  std::uint8_t bytes[net::kFaceFloats];
  to_bytes(net::kFaceFloats, face, bytes);
  const std::uint8_t* from = bytes;
  for (int h = 0; h < net::kFaceH; ++h) {
    std::uint8_t* to = band_.data() + (net::kFaceH - 1 - h) * row_bytes() + column * kLine;
    for (int w = 0; w < net::kFaceW; ++w, from += net::kFaceC, to += net::kFaceC) {
      to[0] = from[2];
      to[1] = from[1];
      to[2] = from[0];
    }
  }
}

void SheetWriter::finish() {
  if (side_ > 0 && done_ % side_ != 0) {
    done_ = (done_ / side_ + 1) * side_;
    end_band();
  }
  for (; done_ < side_ * side_; done_ += side_) write_band(done_ / side_, band_.data());  // only black cells
  finish_picture();
  FileWriter::finish();
}

// The cells of done_'s row are complete: hands them on and blackens them.
void SheetWriter::end_band() {
  write_band(done_ / side_ - 1, band_.data());
  std::fill(band_.begin(), band_.end(), std::uint8_t{0});
}
