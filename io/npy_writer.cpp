// Faces as a .npy file: float32, (N, 64, 64, 3).
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "io/kinds.h"
#include "io/npy.h"
#include "io/output_file.h"
#include "network.h"

namespace {

class NpyWriter : public FaceWriter {
 public:
  NpyWriter(const std::string& path, std::int64_t faces) : file_(path) {
    const std::string header = make_npy_header({faces, net::kFaceH, net::kFaceW, net::kFaceC});
    file_.append(header.data(), header.size());
  }

  void write(std::int64_t n, const float* faces) override {
    file_.append(faces, static_cast<std::size_t>(n) * net::kFaceFloats * sizeof(float));
  }

  void finish() override { file_.finish(); }

 private:
  OutputFile file_;
};

}  // namespace

std::unique_ptr<FaceWriter> open_npy_faces(const std::string& path, std::int64_t faces) {
  return std::make_unique<NpyWriter>(path, faces);
}
