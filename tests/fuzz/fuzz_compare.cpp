// compare_result against a comparison of words. An input is two files with a byte 0xff between them, in which ~ stands
// for 4,096 values.
#define main compare_result_main
#include "compare_result.cpp"
#undef main

#include "common/checked.h"
#include "tests/fuzz/fuzz.h"

namespace {

std::string expand(std::string_view text) {
  std::string out;
  int left = 4;
  for (const char c : text) {
    if (c != '~' || left-- <= 0) {
      out += c;
      continue;
    }
    for (int i = 0; i < 4096; ++i) out += "0.5 ";
  }
  return out;
}

bool reference_same(const std::vector<std::string_view>& output, const std::vector<std::string_view>& answer) {
  if (output.empty() || output.size() != answer.size()) return false;
  const std::optional<std::int64_t> n = reference_count(output[0]);
  if (!n || *n > kMostFaces || reference_count(answer[0]) != n) return false;
  if (static_cast<std::int64_t>(output.size()) - 1 != *n * net::kFaceFloats) return false;
  for (std::size_t i = 1; i < output.size(); ++i) {
    const std::optional<float> a = reference_number(output[i]), b = reference_number(answer[i]);
    if (!a || !b) return false;
    const double difference = std::fabs(double(*a) - double(*b));
    if (!(difference < 1e-3) && !(*b != 0 && difference / std::fabs(double(*b)) < 1e-3)) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  require(std::freopen("/dev/null", "w", stdout) != nullptr, "/dev/null");
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(text.find('\xff'), size);
  const std::string output = expand(text.substr(0, cut)), answer = expand(text.substr(std::min(cut + 1, size)));
  static MemoryFile output_file, answer_file;
  output_file.assign(output);
  answer_file.assign(answer);
  bool same = false;
  try {
    same = run({output_file.path(), answer_file.path()}) == kDone;
  } catch (const Failure& failure) {
    require(failure.status() == kBadInput, failure.what());
  }
  require(same == reference_same(words_of(output), words_of(answer)), "whether they are the same");
  return 0;
}
