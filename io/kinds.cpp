#include "io/kinds.h"

#include <cctype>
#include <cstddef>

namespace {

// "none" in place of an output.
class NoWriter : public FaceWriter {
 public:
  void write(std::int64_t, const float*) override {}
  void finish() override {}
};

}  // namespace

bool has_ending(const std::string& path, const std::string& ending) {
  if (path.size() < ending.size()) return false;
  const std::size_t start = path.size() - ending.size();
  for (std::size_t i = 0; i < ending.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(path[start + i])) != ending[i]) return false;
  }
  return true;
}

std::unique_ptr<NoiseReader> NoiseReader::open(const std::string& path, int threads) {
  if (has_ending(path, ".npy")) return open_npy_noise(path);
  return open_text_noise(path, threads);
}

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
