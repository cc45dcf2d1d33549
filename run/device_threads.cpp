#include "run/device_threads.h"

#include <chrono>
#include <deque>
#include <system_error>
#include <utility>

#include "common/failure.h"  // defines: Failure
#include "common/profile.h"  // defines: Profile, ProfileTimer
#include "network.h"         // defines: net::

DeviceThreads::DeviceThreads(Devices devices, Profile& profile)
    : devices_(std::move(devices)), profile_(profile), busy_(devices_.size()) {
  try {
    for (const auto& device : devices_) threads_.emplace_back([this, &device] { serve(*device); });
    while (!done(1000000)) {
    }
  } catch (const std::system_error& error) {
    end();
    throw Failure(kMachine, "no thread can be started for " + devices_[threads_.size()]->name() + ": " + error.what() +
                                "; raise the limit on processes (ulimit -u), or end what else runs");
  } catch (...) {
    end();
    throw;
  }
}

DeviceThreads::~DeviceThreads() { end(); }

void DeviceThreads::end() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void DeviceThreads::begin(const float* network, std::vector<Share> chunks, const float* noise, Sink& sink) {
  const std::lock_guard<std::mutex> lock(mutex_);
  network_ = network;
  chunks_ = std::move(chunks);
  next_ = 0;
  noise_ = noise;
  sink_ = &sink;
  error_ = nullptr;
  busy_ = devices_.size();
  ++call_;
  changed_.notify_all();
}

bool DeviceThreads::done(int microseconds) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, std::chrono::microseconds(microseconds), [this] { return busy_ == 0 || error_; });
  if (error_) std::rethrow_exception(error_);
  return busy_ == 0;
}

void DeviceThreads::stop() {
  std::unique_lock<std::mutex> lock(mutex_);
  next_ = chunks_.size();
  if (busy_ > 0) sink_->give_up();
  changed_.wait(lock, [this] { return busy_ == 0; });
}

// One device's thread: attaches it, then does its part in call after call.
void DeviceThreads::serve(Device& device) {
  for (std::int64_t call = 0;; ++call) {
    std::exception_ptr error;
    try {
      call == 0 ? device.attach() : compute(device);
    } catch (...) {
      error = std::current_exception();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    if (!error_) error_ = error;
    --busy_;
    changed_.notify_all();
    changed_.wait(lock, [this, call] { return over_ || call_ > call; });
    if (over_) return;
  }
}

bool DeviceThreads::take(std::size_t* i) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (error_ || next_ == chunks_.size()) return false;
  *i = next_++;
  return true;
}

// Keeps all slots of a device busy, and hands on its chunks in the order in which they were started.
void DeviceThreads::compute(Device& device) {
  if (network_) {
    const ProfileTimer timer;
    device.load_network(network_);
    profile_.add("load network", device.name(), timer.seconds(), net::kNetworkBytes, 0);
  }
  const ProfileTimer timer;
  const std::vector<KernelFaces> before = device.faces_by_kernel();
  std::int64_t faces_done = 0;

  std::deque<std::pair<int, std::size_t>> under_way;  // slot, chunk
  const auto finish_oldest = [&] {
    const auto [slot, i] = under_way.front();
    under_way.pop_front();
    device.finish(slot);
    faces_done += chunks_[i].faces;
    sink_->ready(i);
  };

  int slot = 0;
  try {
    for (std::size_t i; take(&i); slot = (slot + 1) % device.slots()) {
      if (int(under_way.size()) == device.slots()) finish_oldest();
      float* faces = sink_->place(i);
      if (!faces) break;
      const Share& chunk = chunks_[i];
      device.start(slot, int(chunk.faces), noise_ + (chunk.first - chunks_[0].first) * net::kNoise, faces);
      under_way.emplace_back(slot, i);
    }
    while (!under_way.empty()) finish_oldest();
    // A device that came too late for a chunk has taken in the network all the same, when its caller goes on.
    if (network_ && faces_done == 0) {
      device.start(slot, 0, nullptr, nullptr);
      device.finish(slot);
    }
  } catch (...) {
    // What is under way still writes to the call's arrays: it ends before anybody lets go of them.
    for (; !under_way.empty(); under_way.pop_front()) {
      try {
        device.finish(under_way.front().first);
      } catch (...) {  // of a device that was lost nothing else can come
      }
    }
    throw;
  }
  profile_.add("compute", device.name(), timer.seconds(), faces_done * std::int64_t(net::kFaceFloats * sizeof(float)),
               faces_done, device.peak_flops());
  const std::vector<KernelFaces> after = device.faces_by_kernel();
  for (std::size_t k = 0; k < after.size(); ++k) {
    const std::int64_t faces = after[k].faces - before[k].faces;
    if (faces > 0) profile_.add("by kernels: " + after[k].kernels, device.name(), 0, 0, faces);
  }
}
