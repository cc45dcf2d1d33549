// What the fuzz targets share: an input as a file, simple references, and a way to say that one was not met.
#ifndef FACEGEN_TESTS_FUZZ_FUZZ_H_
#define FACEGEN_TESTS_FUZZ_FUZZ_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

inline void require(bool met, const std::string& what) {
  if (met) return;
  std::fprintf(stderr, "not met: %s\n", what.c_str());
  std::abort();
}

// Bytes as a file that only this process sees; one file a place of use, for making it takes longer than reading it.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("fuzz", 0)) {}
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void assign(std::string_view bytes) {
    resize(bytes.size());
    write_at(0, bytes);
  }
  void write_at(std::size_t place, std::string_view bytes) {
    require(::pwrite(fd_, bytes.data(), bytes.size(), place) == static_cast<ssize_t>(bytes.size()), "pwrite");
  }
  void resize(std::size_t bytes) { require(::ftruncate(fd_, bytes) == 0, "ftruncate"); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

// The words between white space.
inline std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  std::vector<std::string_view> words;
  while ((text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size())), !text.empty())) {
    words.push_back(text.substr(0, text.find_first_of(kSpace)));
    text.remove_prefix(words.back().size());
  }
  return words;
}

// What strtof makes of the whole word, but for hexadecimal forms; nothing where it is no number.
inline std::optional<float> reference_number(std::string_view view) {
  const std::string word(view);
  const bool sign = word[0] == '+' || word[0] == '-';
  if (word.size() > sign + 1u && word[sign] == '0' && (word[sign + 1] | 0x20) == 'x') return std::nullopt;
  char* end = nullptr;
  const float value = std::strtof(word.c_str(), &end);
  if (end != word.c_str() + word.size()) return std::nullopt;
  return value;
}

// A whole number >= 0; the largest where it is larger; nothing where it is none.
inline std::optional<std::int64_t> reference_count(std::string_view word) {
  const bool sign = word[0] == '+' || word[0] == '-', negative = word[0] == '-';
  word.remove_prefix(sign);
  if (word.empty() || word.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  __int128 value = 0;
  for (const char c : word) value = std::min<__int128>(10 * value + (c - '0'), INT64_MAX);
  if (negative && value > 0) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

inline bool same_float(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

#endif  // FACEGEN_TESTS_FUZZ_FUZZ_H_
