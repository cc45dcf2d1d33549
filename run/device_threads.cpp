#include "run/device_threads.h"

#include <exception>
#include <utility>

DeviceThreads::DeviceThreads(const Devices& devices) : busy_(devices.size()) {
  for (const auto& device : devices) threads_.emplace_back([this, &device] { serve(*device); });
  wait();
  if (!error_) return;
  join();
  std::rethrow_exception(error_);
}

DeviceThreads::~DeviceThreads() { join(); }

void DeviceThreads::begin(std::function<void(Device&)> work) {
  const std::lock_guard<std::mutex> lock(mutex_);
  work_ = std::move(work);
  busy_ = threads_.size();
  ++round_;
  changed_.notify_all();
}

void DeviceThreads::wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return busy_ == 0; });
}

void DeviceThreads::serve(Device& device) {
  std::exception_ptr error;
  try {
    device.attach();
  } catch (...) {
    error = std::current_exception();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  if (!error_) error_ = error;
  for (std::int64_t round = 0;; ++round) {
    if (--busy_ == 0) changed_.notify_all();
    changed_.wait(lock, [this, round] { return over_ || round_ > round; });
    if (over_) return;
    lock.unlock();
    work_(device);
    lock.lock();
  }
}

void DeviceThreads::join() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}
