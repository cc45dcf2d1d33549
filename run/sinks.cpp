#include "run/sinks.h"

void Outbox::ready(std::size_t i) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ready_.push_back(i);
}

std::vector<std::size_t> Outbox::take_ready() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(ready_, {});
}

float* SendBuffers::place(std::size_t i) {
  std::unique_lock<std::mutex> lock(mutex_);
  freed_.wait(lock, [this] { return !free_.empty() || over_; });
  if (over_) return nullptr;
  used_[i] = free_.back();
  free_.pop_back();
  return used_[i];
}

void SendBuffers::give_up() {
  const std::lock_guard<std::mutex> lock(mutex_);
  over_ = true;
  freed_.notify_all();
}

void SendBuffers::send(std::size_t i, Transfers& transfers) {
  transfers.send(0, std::int64_t(i) + 1, used_[i], std::size_t(chunks_[i].faces) * net::kFaceFloats, [this, i] {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(used_[i]);
    freed_.notify_one();
  });
}
