// Faces as text, as the course's driver writes them: N, then a line of 12,288 values a face.
//
// Threads take blocks of faces in order. Each formats its block into a buffer of its own and writes it when its turn
// has come, while the others format theirs.
#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "io/parallel.h"
#include "io/text_number.h"
#include "io/writers.h"
#include "network.h"

namespace {

constexpr std::int64_t kBlockFaces = 4;  // about 350 kB of text: a large write that still fits the core's cache
constexpr std::size_t kBlockRoom = kBlockFaces * (net::kFaceFloats * kLongestValue + 1);  // touched only where needed

class TextWriter : public FileWriter {
 public:
  TextWriter(const std::string& path, std::int64_t faces, int threads)
      : FileWriter(path), buffers_(threads), turns_(threads) {
    const std::string header = std::to_string(faces) + "\n";
    file_.append(header.data(), header.size());
  }

  void write(std::int64_t n, const float* faces) override {
    const std::int64_t blocks = (n + kBlockFaces - 1) / kBlockFaces;
    next_ = 0;
    run_parallel(static_cast<int>(buffers_.size()), blocks, [&](int worker, std::int64_t block) {
      const std::int64_t first = block * kBlockFaces;
      const std::int64_t last = std::min(first + kBlockFaces, n);
      try {
        std::unique_ptr<char[]>& buffer = buffers_[static_cast<std::size_t>(worker)];
        if (!buffer) buffer.reset(new char[kBlockRoom]);
        char* end = buffer.get();
        for (std::int64_t face = first; face < last; ++face) {
          end = format_values(net::kFaceFloats, faces + face * net::kFaceFloats, end);
          *end++ = '\n';
        }
        put(block, buffer.get(), static_cast<std::size_t>(end - buffer.get()));
      } catch (...) {
        give_up();
        throw;
      }
    });
  }

 private:
  // Writes a block behind the one before it. One thread writes at a time, whether to a file or a pipe: the system would
  // make writers of one file wait for each other anyway.
  void put(std::int64_t block, const char* text, std::size_t bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    turn(block).wait(lock, [&] { return next_ == block || failed_; });
    if (failed_) return;
    file_.append(text, bytes);
    ++next_;
    turn(next_).notify_all();
  }

  // A block will never come: nobody waits for it.
  void give_up() {
    const std::lock_guard<std::mutex> lock(mutex_);
    failed_ = true;
    for (std::condition_variable& waiting : turns_) waiting.notify_all();
  }

  // Where a block's thread waits. No more blocks are under way than there are threads, so each has one for itself.
  std::condition_variable& turn(std::int64_t block) { return turns_[static_cast<std::size_t>(block) % turns_.size()]; }

  std::vector<std::unique_ptr<char[]>> buffers_;  // one a thread

  std::mutex mutex_;
  std::vector<std::condition_variable> turns_;
  std::int64_t next_ = 0;  // the block whose turn it is
  bool failed_ = false;
};

}  // namespace

std::unique_ptr<FaceWriter> open_text_faces(const std::string& path, std::int64_t faces, int threads) {
  return std::make_unique<TextWriter>(path, faces, std::max(threads, 1));
}
