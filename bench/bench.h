// What the measuring programs share: options, times, and figures on standard output, one JSON object a line, which
// bench/measurement.py shows as a table and keeps.
#ifndef FACEGEN_BENCH_BENCH_H_
#define FACEGEN_BENCH_BENCH_H_

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/decimal.h"
#include "common/failure.h"

// Values by name, from `--name value ...` and, where the line does not say, from what is known.
using Arguments = std::map<std::string, std::string>;
inline Arguments parse(int argc, char** argv, Arguments known) {
  for (int i = 1; i < argc; i += 2) {
    const auto argument = known.find(std::string(argv[i]).substr(0, 2) == "--" ? argv[i] + 2 : "");
    if (argument == known.end() || i + 1 == argc) {
      throw Failure(kUsage, "cannot take " + std::string(argv[i]) + "; the head of its source says what it takes");
    }
    argument->second = argv[i + 1];
  }
  return known;
}

// A row of the list of that name, or facts of the whole measurement: Row("runs").set("faces", 8).set("seconds", 0.1);
class Row {
 public:
  explicit Row(const std::string& list = "") {
    if (!list.empty()) set("list", list);
  }
  ~Row() {
    std::printf("{%s}\n", text_.c_str());
    std::fflush(stdout);
  }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  Row& set(const std::string& name, const std::string& value) { return add(name, '"' + value + '"'); }
  Row& set(const std::string& name, double value) { return add(name, significant(value, 9)); }
  Row& set(const std::string& name, const std::vector<double>& values) {
    std::string list;
    for (const double value : values) list += (list.empty() ? "" : ", ") + significant(value, 9);
    return add(name, "[" + list + "]");
  }

 private:
  Row& add(const std::string& name, const std::string& value) {
    text_ += (text_.empty() ? "\"" : ", \"") + name + "\": " + value;
    return *this;
  }
  std::string text_;
};

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
inline double seconds_of(const std::function<void()>& work) {
  const double start = now();
  work();
  return now() - start;
}
inline double best(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// main() of a program: its status, or that of the Failure that ended it.
inline int guarded_main(const char* program, const std::function<int()>& work) {
  try {
    return work();
  } catch (const Failure& failure) {
    std::fprintf(stderr, "%s: %s\n", program, failure.what());
    return failure.status();
  }
}

#endif  // FACEGEN_BENCH_BENCH_H_
