#include "run/device_run.h"

#include <chrono>
#include <deque>
#include <utility>

#include "common/profile.h"
#include "network.h"

DeviceRun::DeviceRun(DeviceThreads& devices, const float* network, std::vector<Share> chunks, const float* noise,
                     std::int64_t first_face, Sink& sink)
    : devices_(devices),
      network_(network),
      chunks_(std::move(chunks)),
      noise_(noise),
      first_face_(first_face),
      sink_(sink),
      running_(devices.size()) {
  devices_.begin([this](Device& device) { drive(device); });
}

DeviceRun::~DeviceRun() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    next_ = chunks_.size();
  }
  devices_.wait();
}

bool DeviceRun::done(int microseconds) {
  std::unique_lock<std::mutex> lock(mutex_);
  stopped_.wait_for(lock, std::chrono::microseconds(microseconds), [this] { return running_ == 0 || error_; });
  if (error_) std::rethrow_exception(error_);
  return running_ == 0;
}

bool DeviceRun::take(std::size_t* i) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (error_ || next_ == chunks_.size()) return false;
  *i = next_++;
  return true;
}

// One device's thread: keeps all of its slots busy, and hands on its chunks in the order in which they were started.
void DeviceRun::drive(Device& device) {
  try {
    if (network_) {
      const ProfileTimer timer;
      device.load_network(network_);
      profile_add("load network", device.name(), timer.seconds(), net::kNetworkBytes, 0);
    }
    const ProfileTimer timer;
    std::int64_t faces_done = 0;

    std::deque<std::pair<int, std::size_t>> under_way;  // slot, chunk
    const auto finish_oldest = [&] {
      const auto [slot, i] = under_way.front();
      device.finish(slot);
      faces_done += chunks_[i].faces;
      under_way.pop_front();
      sink_.ready(i);
    };

    int slot = 0;
    for (std::size_t i; take(&i); slot = (slot + 1) % device.slots()) {
      if (int(under_way.size()) == device.slots()) finish_oldest();
      float* faces = sink_.place(i);
      if (!faces) break;
      const Share& chunk = chunks_[i];
      device.start(slot, int(chunk.faces), noise_ + (chunk.first - first_face_) * net::kNoise, faces);
      under_way.emplace_back(slot, i);
    }
    while (!under_way.empty()) finish_oldest();
    profile_add("compute", device.name(), timer.seconds(), faces_done * net::kFaceFloats * std::int64_t(sizeof(float)),
                faces_done, device.peak_flops());
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  --running_;
  stopped_.notify_all();
}
