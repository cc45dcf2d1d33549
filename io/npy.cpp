#include "io/npy.h"

#include <charconv>
#include <cstddef>
#include <map>
#include <string_view>
#include <system_error>

#include "common/wording.h"

namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kMostHeader = 65535;  // what version 1 can say; a header of one plain array has about 80 bytes
constexpr std::size_t kAlignment = 64;      // of the values in the file

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

// Splits "a, (b, c), 'd'" at the separators outside brackets and quotes; the parts keep their own text.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  int depth = 0;
  bool string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\'' || c == '"') string = !string;
    if (string) continue;
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') --depth;
    if (c == separator && depth == 0) {
      parts.push_back(trim(text.substr(start, i - start)));
      start = i + 1;
    }
  }
  const std::string_view rest = trim(text.substr(start));
  if (!rest.empty()) parts.push_back(rest);  // Python allows a comma after the last item
  return parts;
}

// "{'a': x, 'b': y}" -> {a: x, b: y}, values as written; empty where the text is no dict.
std::map<std::string, std::string_view> parse_dict(std::string_view text) {
  std::map<std::string, std::string_view> dict;
  text = trim(text);
  if (text.size() < 2 || text.front() != '{' || text.back() != '}') return dict;
  for (const std::string_view item : split(text.substr(1, text.size() - 2), ',')) {
    const std::vector<std::string_view> pair = split(item, ':');
    if (pair.size() != 2 || pair[0].size() < 2) return {};
    dict[std::string(pair[0].substr(1, pair[0].size() - 2))] = pair[1];
  }
  return dict;
}

// "(10, 100)" -> {10, 100}; false where the text is no tuple of sizes.
bool parse_shape(std::string_view text, std::vector<std::int64_t>* shape) {
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return false;
  for (const std::string_view size : split(text.substr(1, text.size() - 2), ',')) {
    std::int64_t value = 0;
    const std::from_chars_result result = std::from_chars(size.data(), size.data() + size.size(), value);
    if (result.ec != std::errc() || result.ptr != size.data() + size.size() || value < 0) return false;
    shape->push_back(value);
  }
  return true;
}

}  // namespace

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
  if (version < 1 || version > 3) throw broken("its version is " + std::to_string(version) + ", known are 1 to 3");

  unsigned char length[4] = {};  // little-endian; 2 bytes in version 1
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (file.read(length, length_bytes) != length_bytes) throw broken("its header is cut off");
  const std::size_t bytes =
      length[0] | std::size_t(length[1]) << 8 | std::size_t(length[2]) << 16 | std::size_t(length[3]) << 24;
  if (bytes > kMostHeader)
    throw broken("its header claims to have " + grouped(static_cast<std::int64_t>(bytes)) + " bytes");
  std::string header(bytes, '\0');
  if (file.read(&header[0], bytes) != bytes) throw broken("its header is cut off");

  std::map<std::string, std::string_view> dict = parse_dict(header);
  if (dict.count("descr") + dict.count("fortran_order") + dict.count("shape") != 3) {
    throw broken("its header does not say descr, fortran_order and shape");
  }
  if (dict["descr"] != "'<f4'") {
    throw Failure(kBadInput, file.name() + " holds values of type " + std::string(dict["descr"].substr(0, 80)) +
                                 "; expected '<f4'. Save it as array.astype('<f4').");
  }
  if (dict["fortran_order"] != "False") {
    throw Failure(kBadInput,
                  file.name() + " is in Fortran order; expected C order. Save it as numpy.ascontiguousarray(array).");
  }
  std::vector<std::int64_t> shape;
  if (!parse_shape(dict["shape"], &shape)) throw broken("its shape is " + quoted_word(dict["shape"]));
  return shape;
}

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

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (const std::int64_t size : shape) text += std::to_string(size) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1) text.resize(text.size() - 2);
  return text + ")";
}
