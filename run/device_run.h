// All devices of one rank at work on its chunks, which are handed out to whoever is free.
#ifndef FACEGEN_RUN_DEVICE_RUN_H_
#define FACEGEN_RUN_DEVICE_RUN_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <vector>

#include "run/chunks.h"
#include "run/device.h"
#include "run/device_threads.h"

// Where finished chunks go. Called from the devices' threads.
class Sink {
 public:
  virtual ~Sink() = default;
  // Memory for chunk i's faces (faces, 64, 64, 3); may wait for memory to become free. nullptr: the run is over.
  virtual float* place(std::size_t i) = 0;
  // Chunk i lies complete at the place that it was given.
  virtual void ready(std::size_t i) = 0;
};

class DeviceRun {
 public:
  // Starts every device. network: what the devices load first, or nullptr for the one that they have.
  // noise (faces, 100) of the share that the chunks cut up, whose first face is number first_face.
  DeviceRun(DeviceThreads& devices, const float* network, std::vector<Share> chunks, const float* noise,
            std::int64_t first_face, Sink& sink);
  ~DeviceRun();  // stops handing out chunks, waits for the devices

  // True once every device has stopped. Waits for that, but no longer than so many microseconds.
  // Throws what a device threw: then the others take no further chunk.
  bool done(int microseconds);

 private:
  void drive(Device& device);
  bool take(std::size_t* i);

  DeviceThreads& devices_;
  const float* network_;
  const std::vector<Share> chunks_;
  const float* noise_;
  const std::int64_t first_face_;
  Sink& sink_;

  std::mutex mutex_;
  std::condition_variable stopped_;
  std::size_t next_ = 0;      // chunk to hand out
  std::size_t running_;       // devices at work
  std::exception_ptr error_;  // the first
};

#endif  // FACEGEN_RUN_DEVICE_RUN_H_
