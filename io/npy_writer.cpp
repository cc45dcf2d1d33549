// Faces as a .npy file: float32, (N, 64, 64, 3).
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "io/file_writer.h"
#include "io/kinds.h"
#include "io/npy.h"
#include "network.h"

namespace {

class NpyWriter : public FileWriter {
 public:
  NpyWriter(const std::string& path, std::int64_t faces) : FileWriter(path) {
    const std::string header = make_npy_header({faces, net::kFaceH, net::kFaceW, net::kFaceC});
    file_.append(header.data(), header.size());
  }

  void write(std::int64_t n, const float* faces) override {
    file_.append(faces, static_cast<std::size_t>(n) * net::kFaceFloats * sizeof(float));
  }
};

}  // namespace

std::unique_ptr<FaceWriter> open_npy_faces(const std::string& path, std::int64_t faces) {
  return std::make_unique<NpyWriter>(path, faces);
}
