#include "io/text_number.h"

#include <locale.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <system_error>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "network.bin, .npy and the tables here are little-endian"
#endif

namespace {

constexpr int kUnits = 10000;  // 1.0 in units of the fourth decimal
constexpr int kWidth = 7;      // "0.1234 "

// word[r] holds the text of r / 10000 and a space, first character in the lowest byte; the top byte is 0.
using Words = std::array<std::uint64_t, kUnits + 1>;

Words make_words() {
  Words words;
  for (int r = 0; r <= kUnits; ++r) {
    char text[sizeof words[r]] = "0.0000 ";
    text[0] = static_cast<char>('0' + r / kUnits);
    for (int digits = r, i = 5; i >= 2; --i, digits /= 10) text[i] = static_cast<char>('0' + digits % 10);
    std::memcpy(&words[static_cast<std::size_t>(r)], text, sizeof text);
  }
  return words;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The common form, "-0.123456": digits and a power of ten that are floats themselves, so that one division rounds as
// exactly as std::from_chars does, in half its time -> the end; nullptr for every other form.
const char* parse_short_decimal(const char* first, const char* last, float* value) {
  static constexpr float kPowers[] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f, 1e9f, 1e10f};  // exact
  static constexpr float kSigns[] = {1.0f, -1.0f};  // signs are random: a branch would be guessed wrong half the time
  constexpr std::int64_t kMostDigits = 1 << 24;     // every whole number up to here is a float
  constexpr std::ptrdiff_t kMostLength = 18;        // digits that fit 64 bits
  const bool negative = first < last && *first == '-';
  const char* const start = first + negative;
  const char* const limit = start + std::min(last - start, kMostLength);
  const char* at = start;
  std::int64_t digits = 0;
  while (at < limit && is_digit(*at)) digits = 10 * digits + (*at++ - '0');
  std::ptrdiff_t count = at - start;
  std::ptrdiff_t decimals = 0;
  if (at < limit && *at == '.') {
    const char* const fraction = ++at;
    while (at < limit && is_digit(*at)) digits = 10 * digits + (*at++ - '0');
    decimals = at - fraction;
    count += decimals;
  }
  const bool ends = at == last || is_space(*at);
  if (!ends || count == 0 || digits > kMostDigits || decimals > 10) return nullptr;
  *value = kSigns[negative] * (static_cast<float>(digits) / kPowers[decimals]);
  return at;
}

// Any decimal at all, however long and whatever its exponent, at the start of a word. Too small gives 0, too large
// infinity, of which from_chars says only that one of them is so.
std::from_chars_result parse_any_decimal(const char* first, const char* last, float* value) {
  static const locale_t plain = ::newlocale(LC_ALL_MASK, "C", nullptr);
  const std::string word(first, skip_word(first, last));
  char* end = nullptr;
  *value = ::strtof_l(word.c_str(), &end, plain);
  return {first + (end - word.c_str()), std::errc()};
}

// std::from_chars knows no leading '+'. Passes one, unless another sign follows.
const char* skip_plus(const char* first, const char* last) {
  return first + (last - first > 1 && first[0] == '+' && first[1] != '-' ? 1 : 0);
}

}  // namespace

// A face's values are tanh's, |y| <= 1. y * 10000 has at most 24 + 14 significant bits, so the product is exact in
// double; adding 2^52 then rounds it to an integer, halves to even, which is how printf rounds the float's exact value.
char* format_values(std::size_t n, const float* values, char* out) {
  static const Words words = make_words();
  constexpr std::uint32_t kMagnitude = 0x7fffffff;
  constexpr std::uint32_t kOne = 0x3f800000;  // the bits of 1.0f
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof bits);
    if ((bits & kMagnitude) > kOne) {  // beyond [-1, 1], infinite, not a number: another network's, but still printf's
      out = std::to_chars(out, out + kLongestValue, values[i], std::chars_format::fixed, 4).ptr;
      *out++ = ' ';
      continue;
    }
    const double rounded = std::fabs(static_cast<double>(values[i])) * kUnits + 0x1p52;
    std::uint64_t integer;  // low 32 bits: the fourth decimals
    std::memcpy(&integer, &rounded, sizeof integer);
    *out = '-';  // overwritten unless there is a sign
    out += bits >> 31;
    std::memcpy(out, &words[static_cast<std::uint32_t>(integer)], sizeof words[0]);
    out += kWidth;
  }
  return out;
}

ParsedNumber parse_number(const char* first, const char* last) {
  constexpr std::ptrdiff_t kMostTrusted = 1000;  // characters: from_chars counts the digits of longer words wrongly
  const char* const start = skip_plus(first, last);
  float value = 0.0f;
  if (const char* const end = parse_short_decimal(start, last, &value)) return {value, end, nullptr};

  const char* infinite = "is infinite";
  std::from_chars_result result = std::from_chars(start, last, value);
  if (result.ec == std::errc::result_out_of_range || result.ptr - start > kMostTrusted) {
    infinite = "is too large for a 32-bit float";
    result = parse_any_decimal(start, last, &value);
  }
  if (result.ec != std::errc() || (result.ptr != last && !is_space(*result.ptr))) {
    return {0.0f, skip_word(first, last), "is no number"};
  }
  return {value, result.ptr, std::isnan(value) ? "is not a number" : std::isinf(value) ? infinite : nullptr};
}

ParsedCount parse_count(const char* first, const char* last) {
  const char* const end = skip_word(first, last);
  std::int64_t value = 0;
  const std::from_chars_result result = std::from_chars(skip_plus(first, end), end, value);
  if (result.ec == std::errc::invalid_argument || result.ptr != end) return {0, end, "is no whole number"};
  if (result.ec == std::errc::result_out_of_range) value = std::numeric_limits<std::int64_t>::max();
  if (value < 0 || (value > 0 && *first == '-')) return {0, end, "is negative"};
  return {value, end, nullptr};
}
