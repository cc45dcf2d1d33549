// Work shared out over a few threads.
#ifndef FACEGEN_IO_PARALLEL_H_
#define FACEGEN_IO_PARALLEL_H_

#include <cstdint>
#include <functional>

// Calls body(worker, item) for every item in [0, items) on up to `threads` threads, the caller's included; workers are
// numbered from 0, and items are begun in order. The first exception stops the rest and is thrown again here.
void run_parallel(int threads, std::int64_t items, const std::function<void(int worker, std::int64_t item)>& body);

#endif  // FACEGEN_IO_PARALLEL_H_
