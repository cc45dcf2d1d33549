// Rows as a .npy file: float32, (N, row).
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/checked.h"
#include "common/wording.h"
#include "io/input_file.h"
#include "io/npy.h"
#include "io/row_reader.h"

namespace {

class NpyRowReader : public RowReader {
 public:
  NpyRowReader(const std::string& path, const RowKind& kind) : file_(path), kind_(kind) {
    const std::vector<std::int64_t> shape = read_npy_header(file_);
    if (shape.empty() || std::vector<std::int64_t>(shape.begin() + 1, shape.end()) != kind.row) {
      std::string expected = "(N";
      for (const std::int64_t side : kind.row) expected += ", " + std::to_string(side);
      throw Failure(kBadInput, name() + " holds an array of shape " + shape_text(shape) + "; " + kind.noun +
                                   " has the shape " + expected + ").");
    }
    rows_ = shape[0];
    if (rows_ > kMostFaces) {
      throw Failure(kBadInput, name() + " says that it holds " + grouped(rows_) +
                                   " faces; they are too many: a run makes at most " + grouped(kMostFaces) + ".");
    }
  }

  const std::string& name() const override { return file_.name(); }
  std::int64_t rows() const override { return rows_; }

  std::int64_t read(std::int64_t count, float* to) override {
    const std::size_t bytes = file_.read(to, static_cast<std::size_t>(count) * sizeof(float));
    const std::int64_t got = static_cast<std::int64_t>(bytes / sizeof(float));
    const float* const end = to + got;
    const float* const bad =
        kind_.finite ? std::find_if_not<const float*>(to, end, [](float x) { return std::isfinite(x); }) : end;
    if (bad != end) {
      throw Failure(kBadInput, name() + ": value " + place(taken_ + (bad - to)) + " is " +
                                   (std::isnan(*bad) ? "NaN" : "infinite") + "; every value must be a finite number.");
    }
    taken_ += got;
    return got;
  }

  std::int64_t most_left() const override {
    return file_.regular() ? file_.bytes_left() / std::int64_t{sizeof(float)}
                           : std::numeric_limits<std::int64_t>::max();
  }

  bool surplus() override {
    char more;
    return (file_.regular() || file_.ready()) && file_.read_some(&more, 1) != 0;
  }

 private:
  // "[2, 17]" of the value i.
  std::string place(std::int64_t i) const {
    std::string text = "]";
    for (auto side = kind_.row.rbegin(); side != kind_.row.rend(); i /= *side++) {
      text = ", " + std::to_string(i % *side) + text;
    }
    return "[" + std::to_string(i) + text;
  }

  InputFile file_;
  const RowKind kind_;
  std::int64_t rows_ = 0;
  std::int64_t taken_ = 0;  // values read
};

}  // namespace

std::unique_ptr<RowReader> open_npy_rows(const std::string& path, const RowKind& kind) {
  return std::make_unique<NpyRowReader>(path, kind);
}
