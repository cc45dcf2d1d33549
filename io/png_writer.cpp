// The sheet as PNG, line by line through libpng, where that was found (FACEGEN_PNG).
#include <memory>
#include <string>

#include "common/wording.h"
#include "io/writers.h"

#ifdef FACEGEN_PNG

#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <exception>

#include "io/sheet_writer.h"

namespace {

constexpr std::int64_t kMostPixels = 0x7fffffff;  // PNG's limit on a side

struct Png {
  Png() = default;
  ~Png() { png_destroy_write_struct(&write, &info); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;

  png_structp write = nullptr;
  png_infop info = nullptr;
};

// libpng reports errors by longjmp, we by exceptions; neither may cross the other. Every call into libpng therefore
// runs inside guarded(), and what goes wrong in there is noted and thrown after it.
class PngWriter : public SheetWriter {
 public:
  PngWriter(const std::string& path, std::int64_t faces, int threads)
      : SheetWriter(path, OutputFile::kInOrder, std::max<std::int64_t>(faces, 1), threads) {
    png_.write = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_.write != nullptr) png_.info = png_create_info_struct(png_.write);
    if (png_.info == nullptr) throw Failure(kMachine, "cannot write " + quoted(path) + ": libpng has no memory.");
    const png_uint_32 pixels = static_cast<png_uint_32>(side() * net::kFaceW);
    guarded([&] {
      png_set_write_fn(png_.write, this, on_write, nullptr);
      png_set_user_limits(png_.write, kMostPixels, kMostPixels);
      png_set_IHDR(png_.write, png_.info, pixels, pixels, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                   PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
      // Faces have few repeats: Huffman codes of Paeth's differences come within 1 % of the smallest file, in 1/8 of
      // the time.
      png_set_filter(png_.write, 0, PNG_FILTER_PAETH);
      png_set_compression_strategy(png_.write, Z_HUFFMAN_ONLY);
      png_write_info(png_.write, png_.info);
      png_set_bgr(png_.write);
    });
  }

 private:
  void write_band(std::int64_t, const std::uint8_t* band) override {
    guarded([&] {
      for (std::int64_t line = net::kFaceH - 1; line >= 0; --line) png_write_row(png_.write, band + line * row_bytes());
    });
  }

  void finish_picture() override {
    guarded([&] { png_write_end(png_.write, png_.info); });
  }

  // Runs calls into libpng. `calls` must own nothing: longjmp runs no destructors.
  template <typename Calls>
  void guarded(const Calls& calls) {
    if (setjmp(png_jmpbuf(png_.write)) == 0) {
      calls();
    } else {
      std::rethrow_exception(error_);
    }
  }

  static void on_write(png_structp png, png_bytep data, png_size_t bytes) {
    PngWriter* const self = static_cast<PngWriter*>(png_get_io_ptr(png));
    try {
      self->file_.append(data, bytes);
      return;
    } catch (const Failure&) {
      self->error_ = std::current_exception();
    }
    png_longjmp(png, 1);
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    PngWriter* const self = static_cast<PngWriter*>(png_get_error_ptr(png));
    self->error_ =
        std::make_exception_ptr(Failure(kMachine, std::string("cannot write the picture: libpng: ") + message));
    png_longjmp(png, 1);
  }

  static void on_warning(png_structp, png_const_charp) {}

  Png png_;
  std::exception_ptr error_;
};

}  // namespace

std::unique_ptr<FaceWriter> open_png_sheet(const std::string& path, std::int64_t faces, int threads) {
  return std::make_unique<PngWriter>(path, faces, threads);
}

#else

std::unique_ptr<FaceWriter> open_png_sheet(const std::string& path, std::int64_t, int) {
  throw Failure(kUsage, "cannot write " + quoted(path) +
                            ": this program was built without libpng. Name a .bmp file, or " +
                            "install libpng (Debian: libpng-dev) and build again.");
}

#endif
