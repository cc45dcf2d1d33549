// Noise as a .npy file: float32, (N, 100).
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "common/wording.h"
#include "io/input_file.h"
#include "io/kinds.h"
#include "io/npy.h"
#include "network.h"

namespace {

class NpyNoiseReader : public NoiseReader {
 public:
  explicit NpyNoiseReader(const std::string& path) : file_(path) {
    const std::vector<std::int64_t> shape = read_npy_header(file_);
    if (shape.size() != 2 || shape[1] != net::kNoise) {
      throw Failure(kBadInput, file_.name() + " holds an array of shape " + shape_text(shape) +
                                   "; noise has the shape (N, " + std::to_string(net::kNoise) + ").");
    }
    faces_ = shape[0];
    if (file_.regular() && file_.bytes_left() / kRowBytes < faces_) throw ends_early(file_.bytes_left());
  }

  std::int64_t faces() const override { return faces_; }

  void read(std::int64_t n, float* noise) override {
    const std::size_t bytes = static_cast<std::size_t>(n * kRowBytes);
    const std::size_t got = file_.read(noise, bytes);
    if (got < bytes) throw ends_early(done_ * kRowBytes + static_cast<std::int64_t>(got));
    for (std::int64_t i = 0; i < n * net::kNoise; ++i) {
      if (std::isfinite(noise[i])) continue;
      throw Failure(kBadInput, file_.name() + ": value [" + std::to_string(done_ + i / net::kNoise) + ", " +
                                   std::to_string(i % net::kNoise) + "] is " +
                                   (std::isnan(noise[i]) ? "NaN" : "infinite") + "; noise must be finite numbers.");
    }
    done_ += n;
  }

  bool surplus() override {
    char more;
    return (file_.regular() || file_.ready()) && file_.read_some(&more, 1) != 0;
  }

 private:
  static constexpr std::int64_t kRowBytes = net::kNoise * sizeof(float);

  Failure ends_early(std::int64_t value_bytes) const {
    return Failure(kBadInput, file_.name() + " ends early: its header says " + grouped(faces_) + " faces of " +
                                  grouped(kRowBytes) + " bytes, and " + grouped(value_bytes) + " bytes follow.");
  }

  InputFile file_;
  std::int64_t faces_ = 0;
  std::int64_t done_ = 0;  // faces read
};

}  // namespace

std::unique_ptr<NoiseReader> open_npy_noise(const std::string& path) { return std::make_unique<NpyNoiseReader>(path); }
