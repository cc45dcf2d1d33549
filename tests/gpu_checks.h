// What the tests for a GPU share: counting checks, work on all cores of the CPU, worst errors.
#ifndef FACEGEN_TESTS_GPU_CHECKS_H_
#define FACEGEN_TESTS_GPU_CHECKS_H_

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/failure.h"

namespace {

int passed = 0, failed = 0;

void check(bool good, const std::string& what) {
  ++(good ? passed : failed);
  if (!good) std::printf("FAILED  %s\n", what.c_str());
}

std::string text(const char* format, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof(buffer), format, arguments);
  va_end(arguments);
  return buffer;
}

// Runs work(i) for i = 0 .. count - 1 on all cores.
void in_parallel(int count, const std::function<void(int)>& work) {
  const int threads = std::max(1, std::min(count, int(std::thread::hardware_concurrency())));
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([=, &work] {
      for (int i = t; i < count; i += threads) work(i);
    });
  }
  for (std::thread& thread : pool) thread.join();
}

// Largest |value - reference|; infinite where a value is no number.
template <class T>
double worst_error(const float* values, const T* reference, std::size_t count) {
  double worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double error = std::fabs(values[i] - double(reference[i]));
    if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Whether every value was written, within +-most: none is the NaN that the memory held before.
bool complete(const std::vector<float>& values, float most = INFINITY) {
  return std::all_of(values.begin(), values.end(), [most](float value) { return std::fabs(value) <= most; });
}

// What main() does with its checks: says how many passed -> their status, 1 where something was thrown.
int run_checks(int (*checks)(int argc, char** argv), int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);  // line by line, also where a tool stops the program half way
  int status = 1;
  try {
    status = checks(argc, argv);
  } catch (const Failure& failure) {
    check(false, failure.what());
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return status;
}

}  // namespace

#endif  // FACEGEN_TESTS_GPU_CHECKS_H_
