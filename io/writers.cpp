#include "io/writers.h"

#include "io/paths.h"

namespace {

// "none" in place of an output.
class NoWriter : public FaceWriter {
 public:
  void write(std::int64_t, const float*) override {}
  void finish() override {}
};

}  // namespace

std::unique_ptr<FaceWriter> FaceWriter::open_data(const std::string& path, std::int64_t faces, int threads) {
  if (path == "none") return std::make_unique<NoWriter>();
  if (has_ending(path, ".npy")) return open_npy_faces(path, faces);
  return open_text_faces(path, faces, threads);
}

std::unique_ptr<FaceWriter> FaceWriter::open_image(const std::string& path, std::int64_t faces, int threads) {
  if (path == "none") return std::make_unique<NoWriter>();
  if (has_ending(path, ".png")) return open_png_sheet(path, faces, threads);
  return open_bmp_sheet(path, faces, threads);
}
