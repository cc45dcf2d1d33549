// The devices of one rank, each with a host thread of its own for as long as they are open, at work on the chunks of one
// call after another. Why threads that stay: starting one and making it the device's own takes a tenth of the time of a
// thousand faces.
#ifndef FACEGEN_RUN_DEVICE_THREADS_H_
#define FACEGEN_RUN_DEVICE_THREADS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "common/profile.h"  // defines: Profile
#include "run/chunks.h"      // defines: Share
#include "run/device.h"      // defines: Device, Devices
#include "run/sinks.h"       // defines: Sink

class DeviceThreads {
 public:
  // Starts a thread for each device and attaches it. Throws what attach() threw.
  DeviceThreads(Devices devices, Profile& profile);
  ~DeviceThreads();
  DeviceThreads(const DeviceThreads&) = delete;
  DeviceThreads& operator=(const DeviceThreads&) = delete;

  const Devices& devices() const { return devices_; }

  // Sets every device to work; the call before is done or stopped. Chunks are handed out in order, to whoever is free.
  // network: what the devices load first, or nullptr for the one that they have. noise (faces, 100): of the share that
  // the chunks cut up. Noise, network and sink stay until done() has returned true, or stop() has returned.
  void begin(const float* network, std::vector<Share> chunks, const float* noise, Sink& sink);

  // True once every device is done. Waits for that, but no longer than so many microseconds.
  // Throws what a device threw: then the others take no further chunk.
  bool done(int microseconds);

  // Hands out no further chunk and waits until no device touches the call's arrays any longer.
  void stop();

 private:
  void end();
  void serve(Device& device);
  void compute(Device& device);
  bool take(std::size_t* i);

  const Devices devices_;
  Profile& profile_;
  std::vector<std::thread> threads_;

  std::mutex mutex_;                 // guards all below; the call's arrays are set while no device is at work
  std::condition_variable changed_;  // call_, busy_, error_ or over_
  std::int64_t call_ = 0;            // calls begun so far
  std::size_t busy_;                 // devices that are not done with attach() or this call
  bool over_ = false;
  std::exception_ptr error_;  // the first

  const float* network_ = nullptr;
  std::vector<Share> chunks_;
  std::size_t next_ = 0;  // chunk to hand out
  const float* noise_ = nullptr;
  Sink* sink_ = nullptr;
};

// At the end of a block, however it ends, the devices have stopped.
struct StopAtEnd {
  DeviceThreads& threads;
  ~StopAtEnd() { threads.stop(); }
};

#endif  // FACEGEN_RUN_DEVICE_THREADS_H_
