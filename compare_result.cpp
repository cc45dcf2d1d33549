// compare_result <output> <answer>: do two output data files hold the same faces, within the course's tolerance? (SPEC
// 3)
//
// Two values agree where they differ by less than 1e-3, or by less than 1e-3 of the answer. Not-a-number never agrees.
// Unlike the course's tool it also fails where the counts differ, or where a file ends early or goes on too long.
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "common/failure.h"
#include "network.h"

namespace {

constexpr double kTolerance = 1e-3;

const char* const kHelp =
    R"(Usage: compare_result <output> <answer>

Compares two output data files (text: N, then N x 64 x 64 x 3 values) value by value. Two values agree where the absolute
difference is < 1e-3, or the difference relative to the answer is < 1e-3. Not-a-number never agrees.

Prints whether they are the same, or the first value that differs (image, h, w, c counted from 0), and at last how many
values were compared and the worst difference with its place.

  -h, --help   this text

Example:
  ./compare_result output1.txt answers/answer1.txt

Exit status: 0 the same; 1 they differ, or a file cannot be read; 2 wrong usage.
)";

// Reads the white-space separated numbers of a text file, one after another.
class Numbers {
 public:
  explicit Numbers(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "rb")), block_(1 << 20) {
    if (!file_ && errno == ENOENT) throw Failure(kBadInput, "'" + path + "' does not exist.");
    if (!file_) throw unreadable();
  }
  ~Numbers() { std::fclose(file_); }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;

  // The next number; false at the end of the file.
  template <typename Number>
  bool next(Number* value) {
    if (!next_token()) return false;
    const char* begin = token_.data() + (token_[0] == '+' && token_.size() > 1);
    const char* end = token_.data() + token_.size();
    const auto result = std::from_chars(begin, end, *value);
    if (result.ec != std::errc() || result.ptr != end) {
      throw Failure(kBadInput, "'" + path_ + "' holds '" + token_.substr(0, 40) + "' where a number is expected.");
    }
    return true;
  }

 private:
  Failure unreadable() const {
    return Failure(kBadInput, "'" + path_ + "' cannot be read: " + std::strerror(errno) + ".");
  }

  static bool is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

  int next_char() {
    if (at_ == filled_) {
      filled_ = std::fread(block_.data(), 1, block_.size(), file_);
      at_ = 0;
      if (std::ferror(file_)) throw unreadable();
      if (filled_ == 0) return EOF;
    }
    return static_cast<unsigned char>(block_[at_++]);
  }

  bool next_token() {
    int c = next_char();
    while (is_space(c)) c = next_char();
    token_.clear();
    for (; c != EOF && !is_space(c); c = next_char()) token_.push_back(char(c));
    return !token_.empty();
  }

  const std::string path_;
  std::FILE* file_;
  std::vector<char> block_;
  std::size_t at_ = 0, filled_ = 0;
  std::string token_;
};

// "pixel (h, w, c) of Nth image"
std::string place(std::int64_t i) {
  const std::int64_t n = i / net::kFaceFloats, hwc = i % net::kFaceFloats;
  const std::int64_t h = hwc / (net::kFaceW * net::kFaceC), w = hwc / net::kFaceC % net::kFaceW, c = hwc % net::kFaceC;
  return "pixel (" + std::to_string(h) + ", " + std::to_string(w) + ", " + std::to_string(c) + ") of " +
         std::to_string(n) + "th image";
}

bool agree(double output, double answer) {
  const double difference = std::fabs(output - answer);
  return difference < kTolerance || (answer != 0 && difference / std::fabs(answer) < kTolerance);
}

// The number of faces that the file says it holds.
std::int64_t read_count(Numbers& numbers, const std::string& path) {
  std::int64_t n = 0;
  if (!numbers.next(&n)) throw Failure(kBadInput, "'" + path + "' is empty.");
  if (n < 0) throw Failure(kBadInput, "'" + path + "' says that it holds " + std::to_string(n) + " images.");
  return n;
}

// Returns whether the files are the same; prints what SPEC 3 says.
bool compare(const std::string& output_path, const std::string& answer_path) {
  Numbers outputs(output_path), answers(answer_path);
  const std::int64_t n = read_count(outputs, output_path), expected = read_count(answers, answer_path);
  if (n != expected) {
    std::printf("%s holds %lld images, but %s holds %lld.\n", output_path.c_str(), static_cast<long long>(n),
                answer_path.c_str(), static_cast<long long>(expected));
    return false;
  }

  bool same = true;
  double worst = -1;  // none yet; not-a-number counts as worse than anything
  std::int64_t worst_at = 0, compared = 0;
  for (const std::int64_t count = n * net::kFaceFloats;; ++compared) {
    float output = 0, answer = 0;
    const bool more_output = outputs.next(&output), more_answer = answers.next(&answer);
    if (compared == count && !more_output && !more_answer) break;
    if (compared == count || !more_output || !more_answer) {
      const bool output_is_wrong = compared == count ? more_output : !more_output;
      std::printf("%s %s %lld values, but its %lld images have %lld.\n",
                  (output_is_wrong ? output_path : answer_path).c_str(),
                  compared == count ? "holds more than" : "ends after", static_cast<long long>(compared),
                  static_cast<long long>(n), static_cast<long long>(count));
      same = false;
      break;
    }
    const double difference = std::fabs(double(output) - double(answer));
    if (!(difference <= worst) && !std::isnan(worst)) {
      worst = difference;
      worst_at = compared;
    }
    if (same && !agree(output, answer)) {
      same = false;
      std::printf("%s differs.\n%s : %f\n%s : %f\n", place(compared).c_str(), output_path.c_str(), double(output),
                  answer_path.c_str(), double(answer));
    }
  }

  if (same) std::printf("%s and %s are same.\n", output_path.c_str(), answer_path.c_str());
  if (compared > 0) {
    std::printf("%lld values compared, worst difference %.6g at %s.\n", static_cast<long long>(compared), worst,
                place(worst_at).c_str());
  } else {
    std::printf("0 values compared.\n");
  }
  return same;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && (std::strcmp(argv[1], "-h") == 0 || std::strcmp(argv[1], "--help") == 0)) {
    std::fputs(kHelp, stdout);
    return kDone;
  }
  if (argc != 3) {
    std::fprintf(stderr, "compare_result: expected 2 arguments, <output> <answer>, found %d; see --help\n", argc - 1);
    return kUsage;
  }
  try {
    return compare(argv[1], argv[2]) ? kDone : kBadInput;
  } catch (const Failure& failure) {
    std::printf("%s\n", failure.what());
    return failure.status();
  }
}
