// What rank 0 holds during a run: its files, and the batch that is read and the one that is written while another is
// computed.
#ifndef FACEGEN_DRIVER_JOB_H_
#define FACEGEN_DRIVER_JOB_H_

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "common/profile.h"
#include "driver/batches.h"
#include "driver/lines.h"
#include "driver/options.h"
#include "io/output_file.h"
#include "io/readers.h"
#include "io/writers.h"

// The numbers or the picture. At most one batch of it is being written.
class Output {
 public:
  Output(const std::string& path, const char* stage, Profile& profile)
      : path_(path), stage_(stage), profile_(profile) {}

  void open(std::unique_ptr<FaceWriter> writer) { writer_ = std::move(writer); }
  void write(std::int64_t n, const float* faces);  // faces (n, 64, 64, 3), in the background,
  void wait();                                     // until they are written
  void finish(Lines& lines);                       // all faces have been given to write()
  FaceWriter& writer() const { return *writer_; }

 private:
  const std::string path_;
  const char* const stage_;
  Profile& profile_;  // which has that stage
  std::unique_ptr<FaceWriter> writer_;
  std::future<void> written_;
};

class Job {
 public:
  Job(const Options& options, Profile& profile, bool unit_heeds_options);

  // Everything that can be wrong with the files is found here, before anything is computed. Reads the network and the
  // first batch's noise.
  void open_files();

  // What the driver itself has to say, a line each.
  std::string notes() const;

  // Reads batch k's noise into its place in the background; wait_for_noise() waits until it is there.
  void read_noise(std::int64_t k);
  void wait_for_noise();
  void warn_of_surplus();  // numbers that nobody asked for; after the last batch was read

  void finish_json(const std::string& json);
  void publish();  // every output gets its name

  const Options& options;
  Profile& profile;
  Lines lines;
  Batches batches = {};
  std::unique_ptr<Batch> batch[2];          // they take turns
  std::vector<float> network, first_noise;  // as read; first_noise (n, 100)
  Output data, picture;

 private:
  const bool unit_heeds_options_;
  const int threads_;
  std::unique_ptr<NoiseReader> noise_;
  std::unique_ptr<OutputFile> json_;
  std::future<void> noise_read_;
};

// A sentence or a table on standard error, between the lines.
void print_note(const std::string& text);

#endif  // FACEGEN_DRIVER_JOB_H_
