// Where a rank's finished chunks go: on rank 0, and on the ranks that see rank 0's arrays, each is computed straight into
// its place in the result array; on all others into a buffer, from which it is sent to rank 0.
#ifndef FACEGEN_RUN_SINKS_H_
#define FACEGEN_RUN_SINKS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "network.h"     // defines: net::
#include "run/chunks.h"  // defines: Share
#include "run/ranks.h"   // defines: Transfers

// What devices ask for places and tell of finished chunks; called from their threads.
class Sink {
 public:
  virtual ~Sink() = default;
  // Memory for chunk i's faces (faces, 64, 64, 3); may wait for memory to become free. nullptr: the call is over.
  virtual float* place(std::size_t i) = 0;
  // Chunk i lies complete at the place that it was given.
  virtual void ready(std::size_t i) = 0;
  // The call is over before its end: nobody waits for memory any longer.
  virtual void give_up() {}
};

// What has become ready goes on in the thread that speaks MPI.
class Outbox : public Sink {
 public:
  void ready(std::size_t i) final;
  std::vector<std::size_t> take_ready();  // chunks that became ready since the last call
  virtual void send(std::size_t i, Transfers& transfers) = 0;

 protected:
  std::mutex mutex_;

 private:
  std::vector<std::size_t> ready_;
};

// Of rank 0, and of ranks that see its result array: outputs (faces, 64, 64, 3) of the whole call. Rank 0 is told of each
// chunk, no more.
class ResultArray : public Outbox {
 public:
  ResultArray(float* outputs, const std::vector<Share>& chunks) : outputs_(outputs), chunks_(chunks) {}
  float* place(std::size_t i) override { return outputs_ + chunks_[i].first * net::kFaceFloats; }
  void send(std::size_t i, Transfers& transfers) override { transfers.send(0, std::int64_t(i) + 1, nullptr, 0); }

 private:
  float* const outputs_;
  const std::vector<Share>& chunks_;
};

// Of all others: a buffer, which holds the largest chunk, is free again once its faces were sent.
class SendBuffers : public Outbox {
 public:
  SendBuffers(std::vector<float*> buffers, const std::vector<Share>& chunks)
      : chunks_(chunks), free_(std::move(buffers)), used_(chunks.size(), nullptr) {}
  float* place(std::size_t i) override;
  void give_up() override;
  void send(std::size_t i, Transfers& transfers) override;

 private:
  const std::vector<Share>& chunks_;
  std::condition_variable freed_;
  std::vector<float*> free_;
  std::vector<float*> used_;  // by chunk
  bool over_ = false;
};

#endif  // FACEGEN_RUN_SINKS_H_
