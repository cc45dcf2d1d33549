// Numbers as text: ours against printf and strtof, byte for byte and bit for bit.
//
// FACEGEN_EXHAUSTIVE=1 compares every float in [-1, 1] with printf (2.1e9 of them: minutes).
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
#include <string>
#include <thread>
#include <vector>

#include "io/text_number.h"
#include "tests/io_support.h"

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

// Formats values by both ways -> whether the bytes are the same.
bool same_as_printf(const std::vector<float>& values) {
  static thread_local std::vector<char> ours, theirs;
  ours.resize(values.size() * kLongestValue);
  theirs.resize(values.size() * kLongestValue);
  char* end = theirs.data();
  for (const float value : values) {
    end += std::snprintf(end, kLongestValue, "%.4f ", static_cast<double>(value));
  }
  const std::size_t ours_size =
      static_cast<std::size_t>(format_values(values.size(), values.data(), ours.data()) - ours.data());
  const std::size_t theirs_size = static_cast<std::size_t>(end - theirs.data());
  return ours_size == theirs_size && std::memcmp(ours.data(), theirs.data(), ours_size) == 0;
}

// For a failed comparison: the first value that differs.
std::string first_difference(const std::vector<float>& values) {
  for (const float value : values) {
    if (!same_as_printf({value})) {
      char text[64];
      std::snprintf(text, sizeof text, "%.9g, bits %08x", static_cast<double>(value), to_bits(value));
      return text;
    }
  }
  return "each alone is the same";
}

void expect_same_as_printf(const std::vector<float>& values) {
  ASSERT_TRUE(same_as_printf(values)) << first_difference(values);
}

TEST(FormatValues, KnownTexts) {
  const float values[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -0.00001f, 0.99995f, 0.03125f, -0.09375f};
  char text[9 * kLongestValue];
  const std::string got(text, format_values(9, values, text));
  // 0.03125 and 0.09375 are exact halves: they round to the even digit.
  EXPECT_EQ(got, "0.0000 -0.0000 1.0000 -1.0000 0.5000 -0.0000 0.9999 0.0312 -0.0938 ");
}

// The floats around every place in [-1, 1] where the fourth decimal changes, and around every four-decimal number.
TEST(FormatValues, EveryRoundingBoundary) {
  constexpr std::uint32_t kWindow = 40;  // floats to either side
  for (int half = 0; half <= 20001; ++half) {
    const std::uint32_t centre = to_bits(static_cast<float>(half / 20000.0));
    std::vector<float> values;
    for (std::uint32_t bits = centre < kWindow ? 0 : centre - kWindow; bits <= centre + kWindow; ++bits) {
      values.push_back(from_bits(bits));
      values.push_back(from_bits(bits | kSign));
    }
    expect_same_as_printf(values);
  }
}

// Exact halves exist where 10000 y is an odd multiple of 1/2: y = odd / 2^k with k <= 5 in this range.
TEST(FormatValues, ExactHalves) {
  std::vector<float> values;
  for (int i = -4096; i <= 4096; ++i) values.push_back(static_cast<float>(i) / 4096.0f);
  expect_same_as_printf(values);
}

// All exponents: denormals, values beyond 1, huge ones, infinities, NaNs of both signs.
TEST(FormatValues, AcrossAllBitPatterns) {
  constexpr std::uint32_t kStride = 4099;  // prime: the low bits vary too
  std::vector<float> values;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += kStride) {
    values.push_back(from_bits(static_cast<std::uint32_t>(bits)));
    if (values.size() == 4096) {
      expect_same_as_printf(values);
      values.clear();
    }
  }
  for (const std::uint32_t bits : {0x00000001u, 0x007fffffu, 0x00800000u, 0x3f7fffffu, 0x3f800001u, 0x7f7fffffu,
                                   0x7f800000u, 0x7f800001u, 0x7fc00000u, 0x7fffffffu}) {
    values.push_back(from_bits(bits));
    values.push_back(from_bits(bits | kSign));
  }
  expect_same_as_printf(values);
}

TEST(FormatValues, LongestValueFits) {
  const std::vector<float> values(100, -std::numeric_limits<float>::max());
  expect_same_as_printf(values);
  EXPECT_LT(std::snprintf(nullptr, 0, "%.4f ", static_cast<double>(values[0])), static_cast<int>(kLongestValue));
}

TEST(FormatValues, EveryFloatInRange) {
  if (std::getenv("FACEGEN_EXHAUSTIVE") == nullptr) GTEST_SKIP() << "FACEGEN_EXHAUSTIVE=1 runs it";
  constexpr std::uint64_t kValues = 0x3f800000 + 1;  // floats in [0, 1]
  constexpr std::uint64_t kBlock = 1 << 15;
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::uint64_t> compared{0};
  std::atomic<bool> same{true};
  const auto work = [&] {
    std::vector<float> values;
    for (std::uint64_t start; same && (start = next.fetch_add(kBlock)) < kValues;) {
      values.clear();
      for (std::uint64_t bits = start; bits < std::min(start + kBlock, kValues); ++bits) {
        values.push_back(from_bits(static_cast<std::uint32_t>(bits)));
        values.push_back(from_bits(static_cast<std::uint32_t>(bits) | kSign));
      }
      if (!same_as_printf(values)) {
        same = false;
        ADD_FAILURE() << first_difference(values);
      }
      compared += values.size();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compared.load(), 2 * kValues);
  std::printf("compared %llu floats\n", static_cast<unsigned long long>(compared.load()));
}

// ---------------------------------------------------------------------------------------------------------------------

ParsedNumber parse(const std::string& text) { return parse_number(text.data(), text.data() + text.size()); }

void expect_same_as_strtof(const std::string& text) {
  const ParsedNumber number = parse_number(text.data(), text.data() + text.size());
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

std::string print(const char* format, double value) {
  char text[512];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

TEST(ParseNumber, EveryForm) {
  for (const char* text : {"0",
                           "-0",
                           "+0",
                           "1",
                           "-1",
                           "+1.5",
                           ".5",
                           "-.5",
                           "5.",
                           "+.25",
                           "1e3",
                           "1E3",
                           "1e+3",
                           "1.5e-3",
                           "-2.5E+2",
                           "00012.500",
                           "0.1",
                           "16777217",
                           "16777216",
                           "16777219",
                           "123456789012345678901234",
                           "1e38",
                           "3.4028235e38",
                           "3.40282357e38",
                           "1e39",
                           "-1e39",
                           "1e400",
                           "1e-37",
                           "1e-45",
                           "1e-46",
                           "-1e-46",
                           "1e-400",
                           "-1e-400",
                           "0.000000000000000000000000000000000000000000000001",
                           "7.0064923216240854e-46",
                           "7.0064923216240862e-46",
                           "0e99999",
                           "1e99999",
                           "1e-99999",
                           "0.123456789",
                           "1677.7216",
                           "1677.7217",
                           "0.0016777216",
                           "0.0016777217",
                           "0.0000000001",
                           "0.00000000001",
                           "0000000000000000000.1",
                           "00000000000000000000.1",
                           "18446744073709551616",
                           "18446744073709551617.5",
                           "-0.0",
                           ".0",
                           "1.",
                           "0.0000001",
                           "9999999e-10",
                           "9999999e-11",
                           "16777216e-10",
                           "16777217e-10"}) {
    expect_same_as_strtof(text);
  }
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
                                    "-." + zeros}) {
      expect_same_as_strtof(text);
    }
    EXPECT_STREQ(parse(zeros + "x").error, "is no number");
    EXPECT_STREQ(parse(nines + ".1.").error, "is no number");
    EXPECT_STREQ(parse(nines + "e").error, "is no number");
    EXPECT_STREQ(parse(nines + "e+-1").error, "is no number");
  }
  EXPECT_STREQ(parse("1e999999999999999999999x").error, "is no number");
}

TEST(ParseCount, WholeNumbers) {
  const auto value = [](const std::string& text) {
    const ParsedCount count = parse_count(text.data(), text.data() + text.size());
    EXPECT_EQ(count.error, nullptr) << text;
    EXPECT_EQ(count.end, text.data() + text.find(' ')) << text;
    return count.value;
  };
  EXPECT_EQ(value("0 7"), 0);
  EXPECT_EQ(value("-0 "), 0);
  EXPECT_EQ(value("+12 "), 12);
  EXPECT_EQ(value("2147483648 "), 2147483648);
  EXPECT_EQ(value(std::string(600000, '0') + "12 "), 12);
  EXPECT_EQ(value("9223372036854775807 "), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(value("99999999999999999999 "), std::numeric_limits<std::int64_t>::max());
  const auto error = [](const std::string& text) {
    return std::string(parse_count(text.data(), text.data() + text.size()).error);
  };
  for (const char* text :
       {"ten", "1.5", "1e3", "0x10", "+-1", "-+1", "++1", "-", "+", "1_000", "1,000", "nan", "12x"}) {
    EXPECT_EQ(error(text), "is no whole number") << text;
  }
  EXPECT_EQ(error("-1"), "is negative");
  EXPECT_EQ(error("-99999999999999999999"), "is negative");
}

TEST(ParseNumber, StopsAtWhiteSpace) {
  for (const char space : {' ', '\t', '\n', '\v', '\f', '\r'}) {
    const std::string text = std::string("0.25") + space + "7";
    const ParsedNumber number = parse_number(text.data(), text.data() + text.size());
    EXPECT_EQ(number.error, nullptr);
    EXPECT_EQ(number.value, 0.25f);
    EXPECT_EQ(number.end, text.data() + 4);
  }
}

TEST(ParseNumber, RefusesWhatIsNoNumber) {
  for (const char* text : {"abc", "-",  "+",   ".",     "-.",  "e5",  "1e",  "1e+", "1.5x",  "1,5",  "0x10", "1.2.3",
                           "--1", "+.", "0b1", "1e5e5", "+-1", "-+1", "++1", "1f",  "1_000", "infx", "nanx", "0.5;"}) {
    const ParsedNumber number = parse_number(text, text + std::strlen(text));
    EXPECT_STREQ(number.error, "is no number") << text;
    EXPECT_EQ(number.end, text + std::strlen(text)) << text;
  }
}

TEST(ParseNumber, RefusesWhatIsNotFinite) {
  for (const char* text : {"nan", "NaN", "-nan", "+nan"}) {
    EXPECT_STREQ(parse_number(text, text + std::strlen(text)).error, "is not a number") << text;
  }
  for (const char* text : {"inf", "-inf", "+inf", "INF", "infinity", "-Infinity"}) {
    EXPECT_STREQ(parse_number(text, text + std::strlen(text)).error, "is infinite") << text;
  }
}

// A comma where a locale has one changes nothing: neither in what is read nor in what is written.
class Locale : public FileTest {};

TEST_F(Locale, ChangesNothing) {
  ::setenv("LOCPATH", folder_.c_str(), 1);
  const std::string make = "localedef --no-archive -i de_DE -f UTF-8 " + path("de_DE.UTF-8") + " > /dev/null 2>&1";
  if (std::system(make.c_str()) != 0) GTEST_SKIP() << "no localedef, or no sources of de_DE (Debian: locales)";
  ASSERT_NE(std::setlocale(LC_ALL, "de_DE.UTF-8"), nullptr);
  char text[2 * kLongestValue];
  std::snprintf(text, sizeof text, "%.1f", 0.5);
  EXPECT_STREQ(text, "0,5");
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
    const float value = uniform(random);
    expect_same_as_strtof(print("%f", value));
    expect_same_as_strtof(print("%.9g", value));
    const float any = from_bits(static_cast<std::uint32_t>(random()));
    if (!std::isfinite(any)) continue;
    expect_same_as_strtof(print("%.8e", any));
    expect_same_as_strtof(print("%g", any));
  }
}

TEST(ParseNumber, RandomDigits) {
  std::mt19937 random(4);
  const auto digits = [&](unsigned count) {
    std::string text;
    while (text.size() < count) text += static_cast<char>('0' + random() % 10);
    return text;
  };
  for (int i = 0; i < 300000; ++i) {
    const char* const signs[] = {"", "-", "+"};
    std::string text = signs[random() % 3];
    const unsigned before = random() % 10;
    const unsigned after = random() % 10 + (before == 0);
    text += digits(before);
    if (after > 0 || random() % 2 == 0) text += "." + digits(after);
    if (random() % 3 == 0) text += "e" + std::to_string(static_cast<int>(random() % 90) - 45);
    expect_same_as_strtof(text);
  }
}

// The decimals exactly between two floats, and those a hair to either side.
TEST(ParseNumber, Midpoints) {
  std::mt19937 random(5);
  for (int i = 0; i < 50000; ++i) {
    const std::uint32_t bits = i < 1000 ? static_cast<std::uint32_t>(i) : random() % 0x7f7fffff;  // denormals too
    const double midpoint = (static_cast<double>(from_bits(bits)) + static_cast<double>(from_bits(bits + 1))) / 2;
    const std::string text = print("%.160e", midpoint);  // exact: 160 digits hold any such midpoint
    expect_same_as_strtof(text);
    std::string above = text;
    above.insert(above.find('e'), "1");
    expect_same_as_strtof(above);
    expect_same_as_strtof(print("%.160e", std::nextafter(midpoint, 0.0)));
  }
}

}  // namespace
