// One line on standard error while a long run computes: faces done, faces/s, time left. Only on a terminal.
#ifndef FACEGEN_DRIVER_PROGRESS_H_
#define FACEGEN_DRIVER_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress() { end(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // before: what stands on the terminal's line already, and stands there again in the end.
  void start(std::int64_t faces, const std::string& before);
  void within_batch(std::int64_t faces_done);  // so many of the batch that is being computed
  void batch_done(std::int64_t faces);         // that batch had so many
  void end();                                  // takes the line away

 private:
  using Clock = std::chrono::steady_clock;
  const bool shown_;
  bool on_screen_ = false;
  std::string before_;
  std::int64_t faces_ = 0, batches_done_ = 0;
  Clock::time_point start_, last_;
};

#endif  // FACEGEN_DRIVER_PROGRESS_H_
