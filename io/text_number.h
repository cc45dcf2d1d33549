// Numbers as text, both ways, at the speed of memory. No locale changes anything here.
#ifndef FACEGEN_IO_TEXT_NUMBER_H_
#define FACEGEN_IO_TEXT_NUMBER_H_

#include <cstddef>
#include <cstdint>

// Room that one value needs in the worst case: -FLT_MAX has 46 characters with its space, and stores are 8 bytes wide.
constexpr std::size_t kLongestValue = 56;

// Writes n values as printf("%.4f ") does, byte for byte and for every float -> the end of the text.
// out: room for n * kLongestValue characters.
char* format_values(std::size_t n, const float* values, char* out);

struct ParsedNumber {
  float value;        // the float nearest to the decimal number; infinite or NaN beside an error that says so, else 0
  const char* end;    // where its text ends
  const char* error;  // nullptr, or what is wrong, to follow the text in a sentence: "is no number"
};

// Parses the number at the start of [first, last), which ends there or at the first white space. Decimal and exponent
// forms of any length, with or without sign. Too small for a float gives 0; too large, infinite, not a number are errors.
ParsedNumber parse_number(const char* first, const char* last);

struct ParsedCount {
  std::int64_t value;  // the largest std::int64_t where the number is larger
  const char* end;
  const char* error;
};

// The same for a whole number >= 0, in decimal digits.
ParsedCount parse_count(const char* first, const char* last);

// As isspace() in the C locale.
inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

inline const char* skip_space(const char* first, const char* last) {
  while (first < last && is_space(*first)) ++first;
  return first;
}

inline const char* skip_word(const char* first, const char* last) {
  while (first < last && !is_space(*first)) ++first;
  return first;
}

#endif  // FACEGEN_IO_TEXT_NUMBER_H_
