#include "io/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

void run_parallel(int threads, std::int64_t items, const std::function<void(int worker, std::int64_t item)>& body) {
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr first;
  const auto work = [&](int worker) {
    try {
      for (std::int64_t item; (item = next.fetch_add(1)) < items;) body(worker, item);
    } catch (...) {
      next = items;
      const std::lock_guard<std::mutex> lock(mutex);
      if (!first) first = std::current_exception();
    }
  };

  std::vector<std::thread> helpers;
  try {
    helpers.reserve(static_cast<std::size_t>(std::clamp<std::int64_t>(threads - 1, 0, items)));
    for (int worker = 1; worker < threads && worker < items; ++worker) helpers.emplace_back(work, worker);
  } catch (const std::exception&) {
    // There are no more threads to be had, or no memory for them: those that run do the work.
  }
  work(0);
  for (std::thread& helper : helpers) helper.join();
  if (first) std::rethrow_exception(first);
}
