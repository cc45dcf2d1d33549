// NumPy's .npy files: "\x93NUMPY", version, length, then a Python dict with descr, fortran_order, shape; then the values.
#include "io/npy.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>

#include "common/checked.h"
#include "common/wording.h"
#include "io/input_file.h"
#include "io/python_literal.h"
#include "io/row_reader.h"
#include "io/writers.h"
#include "network.h"

namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kMostHeader = 10000;  // numpy.load's limit; a header of one plain array has about 80 bytes
constexpr std::size_t kAlignment = 64;      // of the values in the file

// The spellings of NumPy's little-endian float32.
bool is_float32(const PythonLiteral& descr) {
  if (descr.kind != PythonLiteral::kString) return false;
  if (descr.string == "float32" || descr.string == "single") return true;
  std::string_view type = descr.string;
  if (!type.empty() && (type[0] == '<' || type[0] == '=' || type[0] == '|')) type.remove_prefix(1);
  return type == "f4" || type == "f";
}

// Whether the dict holds a key that no .npy file has.
bool has_other_keys(const PythonLiteral& dict) {
  for (std::size_t i = 0; i < dict.items.size(); i += 2) {
    const PythonLiteral& key = dict.items[i];
    if (key.kind != PythonLiteral::kString) return true;
    if (key.string != "descr" && key.string != "fortran_order" && key.string != "shape") return true;
  }
  return false;
}

// (10, 100) -> {10, 100}; false where the value is no tuple of sizes.
bool read_shape(const PythonLiteral& tuple, std::vector<std::int64_t>* shape) {
  for (const PythonLiteral& size : tuple.items) {
    if (size.kind != PythonLiteral::kInteger || size.integer < 0) return false;
    shape->push_back(size.integer);
  }
  return tuple.kind == PythonLiteral::kTuple;
}

// Whether the first index innermost means other values than the last: not where only one side is longer than 1.
bool order_matters(const std::vector<std::int64_t>& shape) {
  const bool empty = std::count(shape.begin(), shape.end(), 0) > 0;
  return !empty && std::count(shape.begin(), shape.end(), 1) + 1 < static_cast<std::ptrdiff_t>(shape.size());
}

// (10, 64, 64, 3)
std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (const std::int64_t size : shape) text += std::to_string(size) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1) text.resize(text.size() - 2);
  return text + ")";
}

// Reads the header of a little-endian float32 array in C order, or in one that makes no difference -> its shape; the
// values follow in the file. Takes every spelling that numpy.load takes; of any other array or file it says what was found.
std::vector<std::int64_t> read_npy_header(InputFile& file) {
  const auto broken = [&](const std::string& why) {
    return Failure(kBadInput, file.name() + " is no .npy file: " + why + ".");
  };
  unsigned char start[8];  // magic, version (major, minor)
  const std::size_t got = file.read(start, sizeof start);
  if (got == 0) throw Failure(kBadInput, file.name() + " is empty.");
  if (std::string_view(reinterpret_cast<const char*>(start), got).substr(0, kMagic.size()) != kMagic) {
    throw broken("it does not start with \\x93NUMPY");
  }
  if (got < sizeof start) throw broken("its header is cut off");
  const int version = start[6];
  if (version < 1 || version > 3 || start[7] != 0) {
    throw broken("its version is " + std::to_string(version) + "." + std::to_string(start[7]) +
                 ", known are 1.0, 2.0 and 3.0");
  }

  unsigned char length[4] = {};  // little-endian; 2 bytes in version 1
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (file.read(length, length_bytes) != length_bytes) throw broken("its header is cut off");
  const std::size_t bytes =
      length[0] | std::size_t(length[1]) << 8 | std::size_t(length[2]) << 16 | std::size_t(length[3]) << 24;
  if (bytes > kMostHeader)
    throw broken("its header claims to have " + grouped(static_cast<std::int64_t>(bytes)) + " bytes");
  std::string header(bytes, '\0');
  if (file.read(&header[0], bytes) != bytes) throw broken("its header is cut off");

  const std::optional<PythonLiteral> dict = parse_python_literal(header, version < 3);
  const PythonLiteral* const descr = dict ? dict->find("descr") : nullptr;
  const PythonLiteral* const order = dict ? dict->find("fortran_order") : nullptr;
  const PythonLiteral* const sides = dict ? dict->find("shape") : nullptr;
  if (!descr || !order || !sides || has_other_keys(*dict)) {
    throw broken("its header is no dict of descr, fortran_order and shape");
  }
  const auto text = [](const PythonLiteral& value) { return std::string(value.source.substr(0, 80)); };
  if (!is_float32(*descr)) {
    throw Failure(kBadInput, file.name() + " holds values of type " + text(*descr) +
                                 "; expected '<f4'. Save it as array.astype('<f4').");
  }
  std::vector<std::int64_t> shape;
  if (!read_shape(*sides, &shape)) throw broken("its shape is " + text(*sides));
  if (order->kind != PythonLiteral::kBool) throw broken("its fortran_order is " + text(*order));
  if (order->integer == 1 && order_matters(shape)) {
    throw Failure(kBadInput, file.name() + " holds an array of shape " + shape_text(shape) +
                                 " in Fortran order; expected C order. Save it as numpy.ascontiguousarray(array).");
  }
  return shape;
}

// Rows: float32, (N, row).
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

// Faces: float32, (N, 64, 64, 3).
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

std::string make_npy_header(const std::vector<std::int64_t>& shape) {
  std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  const std::size_t before = kMagic.size() + 2 + 2;  // magic, version, length
  const std::size_t total = (before + dict.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  dict.append(total - before - dict.size() - 1, ' ');
  dict += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00'};
  header += static_cast<char>(dict.size() & 0xff);
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

std::unique_ptr<RowReader> open_npy_rows(const std::string& path, const RowKind& kind) {
  return std::make_unique<NpyRowReader>(path, kind);
}

std::unique_ptr<FaceWriter> open_npy_faces(const std::string& path, std::int64_t faces) {
  return std::make_unique<NpyWriter>(path, faces);
}
