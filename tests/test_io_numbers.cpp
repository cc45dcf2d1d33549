// Numbers as text: ours against printf and strtof, byte for byte and bit for bit.
//
// FACEGEN_EXHAUSTIVE=1 compares every float there is with printf (4.3e9 of them: minutes).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <clocale>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "io/text_number.h"
#include "tests/support.h"

namespace {

constexpr std::uint32_t kSign = 0x80000000;

float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::uint32_t to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

Strings words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

std::string print(const char* format, double value) {
  char text[512];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// ---- Writing

// Formats values by both ways -> whether the bytes are the same.
bool same_as_printf(const Floats& values) {
  static thread_local std::vector<char> ours, theirs;
  ours.resize(values.size() * kLongestValue);
  theirs.resize(values.size() * kLongestValue);
  char* end = theirs.data();
  for (const float value : values) end += std::snprintf(end, kLongestValue, "%.4f ", double(value));
  const char* our_end = format_values(values.size(), values.data(), ours.data());
  return our_end - ours.data() == end - theirs.data() && std::equal(theirs.data(), end, ours.data());
}

// The values with these bits, and those of the other sign.
void expect_same_as_printf(const std::vector<std::uint32_t>& all_bits) {
  Floats values;
  for (const std::uint32_t bits : all_bits) {
    values.push_back(from_bits(bits));
    values.push_back(from_bits(bits ^ kSign));
  }
  if (same_as_printf(values)) return;
  for (const float value : values) {
    if (!same_as_printf({value})) FAIL() << print("%.9g", value) << ", bits " << std::hex << to_bits(value);
  }
  FAIL() << "each alone is the same";
}

TEST(FormatValues, KnownTexts) {
  const float values[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -0.00001f, 0.99995f, 0.03125f, -0.09375f};
  char text[9 * kLongestValue];
  const std::string got(text, format_values(9, values, text));
  // 0.03125 and 0.09375 are exact halves: they round to the even digit.
  EXPECT_EQ(got, "0.0000 -0.0000 1.0000 -1.0000 0.5000 -0.0000 0.9999 0.0312 -0.0938 ");
}

// The floats around every place in [-1, 1] where the fourth decimal changes, and around every four-decimal number.
// Exact halves exist where 10000 y is an odd multiple of 1/2: y = odd / 2^k with k <= 5 in this range.
TEST(FormatValues, EveryRoundingBoundary) {
  constexpr std::uint32_t kWindow = 40;  // floats to either side
  for (int half = 0; half <= 20001; ++half) {
    const std::uint32_t centre = to_bits(float(half / 20000.0));
    std::vector<std::uint32_t> bits;
    for (std::uint32_t b = centre < kWindow ? 0 : centre - kWindow; b <= centre + kWindow; ++b) bits.push_back(b);
    expect_same_as_printf(bits);
  }
  std::vector<std::uint32_t> halves;
  for (int i = 0; i <= 4096; ++i) halves.push_back(to_bits(float(i) / 4096.0f));
  expect_same_as_printf(halves);
}

// All exponents: denormals, values beyond 1, huge ones, infinities, NaNs of both signs.
TEST(FormatValues, AcrossAllBitPatterns) {
  expect_same_as_printf({0x00000001, 0x007fffff, 0x00800000, 0x3f7fffff, 0x3f800001, 0x7f7fffff, 0x7f800000, 0x7f800001,
                         0x7fc00000, 0x7fffffff});
  const std::uint64_t stride = std::getenv("FACEGEN_EXHAUSTIVE") ? 1 : 4099;  // prime: the low bits vary too
  const std::uint64_t block = 4096 * stride;
  std::atomic<std::uint64_t> next{0}, compared{0};
  const auto work = [&] {
    for (std::uint64_t start; !::testing::Test::HasFailure() && (start = next.fetch_add(block)) < kSign;) {
      std::vector<std::uint32_t> bits;
      for (std::uint64_t b = start; b < std::min<std::uint64_t>(start + block, kSign); b += stride)
        bits.push_back(std::uint32_t(b));
      expect_same_as_printf(bits);
      compared += 2 * bits.size();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compared, 2 * ((kSign + stride - 1) / stride));
}

TEST(FormatValues, LongestValueFits) {
  EXPECT_TRUE(same_as_printf(Floats(100, -std::numeric_limits<float>::max())));
  EXPECT_LT(print("%.4f ", -std::numeric_limits<float>::max()).size(), std::size_t(kLongestValue));
}

// ---- Reading

ParsedNumber parse(const std::string& text) { return parse_number(text.data(), text.data() + text.size()); }

void expect_same_as_strtof(const std::string& text) {
  const ParsedNumber number = parse(text);
  const float expected = std::strtof(text.c_str(), nullptr);
  if (std::isinf(expected)) {
    EXPECT_STREQ(number.error, "is too large for a 32-bit float") << text;
    EXPECT_EQ(number.value, expected) << text;
    return;
  }
  ASSERT_EQ(number.error, nullptr) << text << " " << number.error;
  ASSERT_EQ(to_bits(number.value), to_bits(expected)) << text;
  ASSERT_EQ(number.end, text.data() + text.size()) << text;
}

TEST(ParseNumber, EveryForm) {
  for (const std::string& text : words_of(R"(0 -0 +0 1 -1 +1.5 .5 -.5 5. +.25 1e3 1E3 1e+3 1.5e-3 -2.5E+2 00012.500 0.1
        16777217 16777216 16777219 123456789012345678901234 1e38 3.4028235e38 3.40282357e38 1e39 -1e39 1e400
        1e-37 1e-45 1e-46 -1e-46 1e-400 -1e-400 0.000000000000000000000000000000000000000000000001
        7.0064923216240854e-46 7.0064923216240862e-46 0e99999 1e99999 1e-99999 0.123456789
        1677.7216 1677.7217 0.0016777216 0.0016777217 0.0000000001 0.00000000001
        0000000000000000000.1 00000000000000000000.1 18446744073709551616 18446744073709551617.5
        -0.0 .0 1. 0.0000001 9999999e-10 9999999e-11 16777216e-10 16777217e-10)"))
    expect_same_as_strtof(text);
}

// Longer than anything that std::from_chars was made for: the exponent and the zeros make up for each other.
TEST(ParseNumber, OfAnyLength) {
  for (const std::size_t n : {900u, 1100u, 70000u, 700000u}) {
    const std::string zeros(n, '0'), nines(n, '9'), count = std::to_string(n);
    for (const std::string& text : {zeros + "1.5",
                                    "0." + zeros + "15",
                                    "0." + zeros + "15e" + count,
                                    "-0." + zeros + "15E+" + count,
                                    "15" + zeros + "e-" + count,
                                    "15" + zeros,
                                    "-15" + zeros,
                                    "0." + nines,
                                    nines + "e-" + count,
                                    "1." + zeros + "1",
                                    "16777217." + zeros,
                                    "16777217." + zeros + "1",
                                    "-16777219." + zeros + "e0000",
                                    "1e" + zeros + "3",
                                    "1e-" + zeros + "46",
                                    "0e" + nines,
                                    "1e" + nines,
                                    "-1e-" + nines,
                                    zeros,
                                    "-." + zeros})
      expect_same_as_strtof(text);
    for (const std::string& text : {zeros + "x", nines + ".1.", nines + "e", nines + "e+-1"})
      EXPECT_STREQ(parse(text).error, "is no number");
  }
  EXPECT_STREQ(parse("1e999999999999999999999x").error, "is no number");
}

TEST(ParseNumber, RefusesWhatIsNoFiniteNumber) {
  const char* const rows[][2] = {
      {"is no number",
       "abc - + . -. e5 1e 1e+ 1.5x 1,5 0x10 1.2.3 --1 +. 0b1 1e5e5 +-1 -+1 ++1 1f 1_000 infx nanx 0.5;"},
      {"is not a number", "nan NaN -nan +nan"},
      {"is infinite", "inf -inf +inf INF infinity -Infinity"}};
  for (const auto& [error, texts] : rows) {
    for (const std::string& text : words_of(texts)) {
      const ParsedNumber number = parse(text);
      EXPECT_STREQ(number.error, error) << text;
      EXPECT_EQ(number.end, text.data() + text.size()) << text;
    }
  }
}

TEST(ParseNumber, StopsAtWhiteSpace) {
  for (const char space : {' ', '\t', '\n', '\v', '\f', '\r'}) {
    const std::string text = std::string("0.25") + space + "7";
    const ParsedNumber number = parse(text);
    EXPECT_EQ(number.error, nullptr);
    EXPECT_EQ(number.value, 0.25f);
    EXPECT_EQ(number.end, text.data() + 4);
  }
}

TEST(ParseCount, WholeNumbers) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const struct {
    std::string text;
    std::int64_t value;
    const char* error;
  } rows[] = {{"0 7", 0, nullptr},
              {"-0 ", 0, nullptr},
              {"+12 ", 12, nullptr},
              {"2147483648 ", 2147483648, nullptr},
              {std::string(600000, '0') + "12 ", 12, nullptr},
              {"9223372036854775807 ", kMost, nullptr},
              {"99999999999999999999 ", kMost, nullptr},
              {"-1 ", 0, "is negative"},
              {"-99999999999999999999 ", 0, "is negative"}};
  for (const auto& row : rows) {
    const ParsedCount count = parse_count(row.text.data(), row.text.data() + row.text.size());
    EXPECT_STREQ(count.error, row.error) << row.text;
    EXPECT_EQ(count.value, row.value) << row.text;
    EXPECT_EQ(count.end, row.text.data() + row.text.find(' ')) << row.text;
  }
  for (const std::string& text : words_of("ten 1.5 1e3 0x10 +-1 -+1 ++1 - + 1_000 1,000 nan 12x"))
    EXPECT_STREQ(parse_count(text.data(), text.data() + text.size()).error, "is no whole number") << text;
}

// A comma where a locale has one changes nothing: neither in what is read nor in what is written.
class Locale : public FileTest {};

TEST_F(Locale, ChangesNothing) {
  ::setenv("LOCPATH", folder_.c_str(), 1);
  const std::string make = "localedef --no-archive -i de_DE -f UTF-8 " + path("de_DE.UTF-8") + " > /dev/null 2>&1";
  if (std::system(make.c_str()) != 0) GTEST_SKIP() << "no localedef, or no sources of de_DE (Debian: locales)";
  ASSERT_NE(std::setlocale(LC_ALL, "de_DE.UTF-8"), nullptr);
  EXPECT_EQ(print("%.1f", 0.5), "0,5");
  char text[2 * kLongestValue];
  const float values[] = {0.25f, 1234.5f};
  EXPECT_EQ(std::string(text, format_values(2, values, text)), "0.2500 1234.5000 ");
  EXPECT_EQ(parse("0.25").value, 0.25f);
  EXPECT_EQ(parse("0." + std::string(2000, '0') + "5e2000").value, 0.5f);
  EXPECT_STREQ(parse("0.5e50").error, "is too large for a 32-bit float");
  EXPECT_STREQ(parse("0,5").error, "is no number");
  std::setlocale(LC_ALL, "C");
}

TEST(ParseNumber, RandomNumbersAreRoundedAsByStrtof) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  for (int i = 0; i < 200000; ++i) {
    const float value = uniform(random), any = from_bits(std::uint32_t(random()));
    for (const char* format : {"%f", "%.9g"}) expect_same_as_strtof(print(format, value));
    for (const char* format : {"%.8e", "%g"}) {
      if (std::isfinite(any)) expect_same_as_strtof(print(format, any));
    }
  }
}

TEST(ParseNumber, RandomDigits) {
  std::mt19937 random(4);
  const auto digits = [&](unsigned count) {
    std::string text;
    while (text.size() < count) text += char('0' + random() % 10);
    return text;
  };
  for (int i = 0; i < 300000; ++i) {
    const char* const signs[] = {"", "-", "+"};
    std::string text = signs[random() % 3];
    const unsigned before = random() % 10, after = random() % 10 + (before == 0);
    text += digits(before);
    if (after > 0 || random() % 2 == 0) text += "." + digits(after);
    if (random() % 3 == 0) text += "e" + std::to_string(int(random() % 90) - 45);
    expect_same_as_strtof(text);
  }
}

// The decimals exactly between two floats, and those a hair to either side.
TEST(ParseNumber, Midpoints) {
  std::mt19937 random(5);
  for (int i = 0; i < 50000; ++i) {
    const std::uint32_t bits = i < 1000 ? std::uint32_t(i) : random() % 0x7f7fffff;  // denormals too
    const double midpoint = (double(from_bits(bits)) + double(from_bits(bits + 1))) / 2;
    std::string text = print("%.160e", midpoint);  // exact: 160 digits hold any such midpoint
    expect_same_as_strtof(text);
    expect_same_as_strtof(text.insert(text.find('e'), "1"));
    expect_same_as_strtof(print("%.160e", std::nextafter(midpoint, 0.0)));
  }
}

}  // namespace
