// parse_number and parse_count against strtof and digits; printable() against what it must never let through.
#include "common/printable.h"
#include "io/text_number.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check_number(std::string_view word) {
  const ParsedNumber number = parse_number(word.data(), word.data() + word.size());
  const std::optional<float> expected = reference_number(word);
  require(number.end == word.data() + word.size(), "a number ends with its word");
  require((number.error == nullptr) == (expected && std::isfinite(*expected)), "which numbers are finite");
  require(same_float(number.value, expected.value_or(0.0f)), "the value");

  const ParsedCount count = parse_count(word.data(), word.data() + word.size());
  const std::optional<std::int64_t> whole = reference_count(word);
  require((count.error == nullptr) == whole.has_value(), "which counts are whole");
  require(count.value == whole.value_or(0), "the count");
}

void check_printable(std::string_view text) {
  const std::string shown = printable(text);
  std::string back;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const unsigned char byte = static_cast<unsigned char>(shown[i]);
    require(byte >= 0x20 && byte != 0x7f, "no control byte");
    require(byte != 0xc2 || static_cast<unsigned char>(shown[i + 1]) >= 0xa0, "no control character of two bytes");
    const bool escape = shown.compare(i, 2, "\\x") == 0 && i + 3 < shown.size() && text.substr(back.size(), 2) != "\\x";
    back += escape ? static_cast<char>(std::stoi(shown.substr(i + 2, 2), nullptr, 16)) : shown[i];
    i += escape ? 3 : 0;
  }
  require(back == text, "the same text");
  require(printable(shown) == shown, "done once");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::string_view word : words_of(text)) check_number(word);
  check_printable(text);
  return 0;
}
