// One host thread a device, for as long as the devices are open. Why not one a run: starting a thread and making it the
// device's own takes a tenth of a thousand faces' time.
#ifndef FACEGEN_RUN_DEVICE_THREADS_H_
#define FACEGEN_RUN_DEVICE_THREADS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "run/device.h"

class DeviceThreads {
 public:
  // Starts a thread for each of the devices, which must outlive this, and attaches it. Throws what attach() threw.
  explicit DeviceThreads(const Devices& devices);
  ~DeviceThreads();  // the work is done
  DeviceThreads(const DeviceThreads&) = delete;

  std::size_t size() const { return threads_.size(); }

  // Each thread calls work(its device) once. The work before is done; work throws nothing.
  void begin(std::function<void(Device&)> work);
  void wait();  // until every thread has returned from it

 private:
  void serve(Device& device);
  void join();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void(Device&)> work_;
  std::int64_t round_ = 0;  // of work given out so far
  std::size_t busy_;        // threads that have not returned from attach() or this round's work
  bool over_ = false;
  std::exception_ptr error_;  // of an attach()
  std::vector<std::thread> threads_;
};

#endif  // FACEGEN_RUN_DEVICE_THREADS_H_
