// The driver: reads the files, has the faces computed (facegen.h), times that, writes the files.
//
// It prints the course's lines (driver/lines.h). Where the computing unit allows it, the run goes in batches that
// overlap: batch k+1 is read and batch k-1 is written while batch k is computed, so that memory stays bounded for any
// number of faces. Only rank 0 touches the files; every other rank just computes what it is given.
//
// A run that fails leaves every output as it was: they get their names at the very end (lead()), and whatever goes
// wrong before that, in any thread, goes straight to fail_now() (driver/ways_out.h).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/failure.h"
#include "common/printable.h"
#include "common/profile.h"
#include "common/wording.h"
#include "driver/batches.h"
#include "driver/course_globals.h"
#include "driver/files.h"
#include "driver/lines.h"
#include "driver/options.h"
#include "driver/progress.h"
#include "driver/ways_out.h"
#include "facegen_hooks.h"
#include "io/output_file.h"
#include "io/readers.h"
#include "io/writers.h"
#include "network.h"
#include "run/launch.h"
#include "run/ranks.h"

namespace {

constexpr std::int64_t kNoMoreBatches = -1, kGiveUp = -2;  // said by rank 0 in place of a number of faces

// mpirun and srun forward standard output and standard error apart. A pause between the two keeps their order.
void let_launcher_forward() {
  if (launched()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

void print_note(const std::string& text) {
  let_launcher_forward();
  std::fputs(printable(text, "\n").c_str(), stderr);  // a unit's words, and names of files
  let_launcher_forward();
}

// Gathers what the computing unit has to say of each rank, on rank 0 a line each.
std::string gather_notes(const Options& options) {
  const std::string place = rank_place();
  const char* const note = facegen_note();
  std::string notes;
  for (const std::string& of_rank : gather(note ? place + (place.empty() ? "" : ": ") + note : "")) {
    if (!of_rank.empty()) notes += options.program + ": " + of_rank + "\n";
  }
  return notes;
}

// ---------------------------------------------------------------------------------------------------------------------
// Rank 0
// ---------------------------------------------------------------------------------------------------------------------

// What rank 0 holds.
struct Job {
  Job(const Options& given, ProfileSteps& its_steps)
      : options(given),
        steps(its_steps),
        threads(given.threads > 0 ? given.threads : usable_cpus()),
        lines(given.data == "-" || given.image == "-" || given.json == "-" ? stderr : stdout) {}

  const Options& options;
  ProfileSteps& steps;
  const int threads;
  Lines lines;

  std::vector<float> network;
  std::unique_ptr<NoiseReader> noise;
  std::unique_ptr<FaceWriter> data, image;
  std::unique_ptr<OutputFile> json;
  Batches batches = {};
  std::vector<float> first_noise;  // (n, 100), the first batch
  std::unique_ptr<Batch> batch[2];

  std::future<void> next_read, data_written, image_written;  // at most one batch is being written, and one read
};

// Does some of the host's work beside the run's steps and remembers how long it took, for how many faces.
template <typename Work>
void stage(const char* name, std::int64_t faces, std::int64_t bytes, Work work) {
  const ProfileTimer timer;
  work();
  profile_add(name, "", timer.seconds(), bytes, faces);
}

// Does that in the background, or when it is waited for where no thread is to be had. The main thread may be waiting for
// something else, for ever: a failure ends the job from here.
template <typename Work>
std::future<void> in_background(Work work) {
  return std::async([work] {
    try {
      work();
    } catch (...) {
      fail_now();
    }
  });
}

// The next n faces' noise -> noise (n, 100).
std::future<void> read_noise(Job& job, std::int64_t n, float* noise) {
  return in_background([&job, n, noise] { stage("read noise", n, 0, [&] { job.noise->read(n, noise); }); });
}

// faces (n, 64, 64, 3); none: that output was not asked for.
std::future<void> write_faces(const char* name, FaceWriter* writer, bool none, std::int64_t n, const float* faces) {
  return in_background([=] {
    if (!none) stage(name, n, n * kFaceBytes, [&] { writer->write(n, faces); });
  });
}

void warn_of_surplus(const Job& job) {
  if (!job.noise->surplus()) return;
  print_note(job.options.program + ": warning: " + quoted(job.options.noise) + " holds more numbers than its " +
             std::to_string(job.batches.faces) + " faces need; the rest is ignored\n");
}

// All that can be wrong with the arguments is found here, before anything is computed.
void open_files(Job& job) {
  const Options& options = job.options;
  check_one_file_each(options);
  if (options.has_json) job.json = std::make_unique<OutputFile>(options.json);
  job.steps.done("open files");

  job.lines.begin("Reading '" + options.network + "'");
  job.network = read_network(options.network);
  job.lines.end();
  job.steps.done("read network", 0, net::kNetworkBytes);

  job.lines.begin("Reading '" + options.noise + "'");
  job.noise = std::make_unique<NoiseReader>(options.noise, job.threads);
  const std::int64_t faces = job.noise->faces();
  job.data = FaceWriter::open_data(options.data, faces, job.threads);
  job.image = FaceWriter::open_image(options.image, faces, job.threads);
  job.batches = plan_batches(faces, options.batch, job.threads);
  job.first_noise.resize(std::size_t(job.batches.size(0)) * net::kNoise);
  job.noise->read(job.batches.size(0), job.first_noise.data());
  job.lines.end();
  if (job.batches.count() == 1) warn_of_surplus(job);
  job.steps.done("read noise", job.batches.size(0));
}

// Called on every rank.
void initialize(std::int64_t faces) {
  set_course_globals(faces, rank(), rank_count());
  facegen_init();
}

// What the driver itself has to say.
std::string own_notes(const Job& job) {
  std::string notes;
  const auto add = [&](const std::string& note) { notes += job.options.program + ": " + note + "\n"; };
  const auto written_over = [&](const std::string& path, const std::string& why) {
    if (why.empty()) return;
    add("warning: " + quoted(path) + " cannot be replaced, as " + why +
        ": it will be written over at the end of the run, and a failure just then would spoil it");
  };
  if (!job.batches.note.empty()) add(job.batches.note);
  written_over(job.options.data, job.data->irreplaceable());
  written_over(job.options.image, job.image->irreplaceable());
  if (job.json) written_over(job.options.json, job.json->irreplaceable());
  return notes;
}

// Calls facegen() for n faces: once, or for a few at a time where the unit tells nothing of its progress.
void compute_batch(Progress& progress, std::int64_t n, float* network, bool new_network, Batch& batch) {
  const std::int64_t at_a_time = facegen_call_faces();
  if (at_a_time == 0) {
    facegen(int(n), new_network ? network : nullptr, batch.noise.data(), batch.faces.data());
    return;
  }
  for (std::int64_t first = 0; first < n; first += at_a_time) {
    const std::int64_t faces = std::min(at_a_time, n - first);
    facegen(int(faces), network, batch.noise.data() + first * net::kNoise,
            batch.faces.data() + first * net::kFaceFloats);
    progress.within_batch(first + faces);
  }
}

// Computes and writes every batch; prints the lines from "Initializing" to the last "Writing". Returns the elapsed
// time.
double compute(Job& job, Progress& progress) {
  const Options& options = job.options;
  const bool no_data = options.data == "none", no_image = options.image == "none";

  job.lines.begin("Initializing");
  initialize(job.batches.faces);
  job.steps.done("initialize");
  const HostArray network(net::kNetworkFloats);
  for (int i = 0; i < std::min<std::int64_t>(2, job.batches.count()); ++i) {
    job.batch[i] = std::make_unique<Batch>(job.batches.most);
  }
  facegen_share();
  std::copy(job.network.begin(), job.network.end(), network.data());
  std::copy(job.first_noise.begin(), job.first_noise.end(), job.batch[0]->noise.data());
  job.network = job.first_noise = {};
  job.lines.end();
  job.steps.done("allocate arrays");
  const std::string notes = own_notes(job) + gather_notes(options);
  if (!notes.empty()) print_note(notes);

  job.lines.begin("Calculating");
  progress.start(job.batches.faces, job.lines.on_terminal());
  double elapsed = 0;
  for (std::int64_t k = 0; k < job.batches.count(); ++k) {
    const std::int64_t n = job.batches.size(k);
    Batch& now = *job.batch[k % 2];
    if (k + 1 < job.batches.count()) {
      job.next_read = read_noise(job, job.batches.size(k + 1), job.batch[(k + 1) % 2]->noise.data());
    }

    broadcast(n);
    if (rank_count() > 1) job.steps.done("wait for ranks");
    const ProfileTimer timer;
    compute_batch(progress, n, network.data(), k == 0, now);
    elapsed += timer.seconds();
    job.steps.done("calculate", n);
    progress.batch_done(n);

    if (k > 0) {
      job.data_written.get();
      job.image_written.get();
      job.steps.done("wait for writers");
    }
    job.data_written = write_faces("write data", job.data.get(), no_data, n, now.faces.data());
    job.image_written = write_faces("write picture", job.image.get(), no_image, n, now.faces.data());
    if (job.next_read.valid()) {
      job.next_read.get();
      job.steps.done("wait for noise");
    }
  }
  broadcast(kNoMoreBatches);
  progress.end();
  job.lines.end();
  job.lines.elapsed(elapsed);
  if (job.batches.count() > 1) warn_of_surplus(job);

  if (!no_data) job.lines.begin("Writing '" + options.data + "'");
  job.data_written.get();
  job.data->finish();
  if (!no_data) job.lines.end();
  if (!no_image) job.lines.begin("Writing '" + options.image + "'");
  job.image_written.get();
  job.image->finish();
  if (!no_image) job.lines.end();
  for (std::unique_ptr<Batch>& batch : job.batch) batch.reset();
  job.steps.done("wait for writers");
  return elapsed;
}

// All ranks' rows -> rows, rank 0's first.
std::vector<ProfileRow> profile_rows(const std::vector<std::string>& texts) {
  std::vector<ProfileRow> rows;
  for (std::size_t r = 0; r < texts.size(); ++r) {
    for (ProfileRow& row : profile_rows_from_text(texts[r])) {
      row.rank = int(r);
      rows.push_back(row);
    }
  }
  const auto is_compute = [](const ProfileRow& row) { return row.stage == "compute"; };
  if (std::none_of(rows.begin(), rows.end(), is_compute)) {  // the unit says nothing of its own
    for (ProfileRow& row : rows) {
      if (row.stage == "calculate") row.stage = "compute";
    }
  }
  return rows;
}

// The whole run as rank 0 leads it.
void lead(Job& job, Progress& progress) {
  try {
    open_files(job);
  } catch (...) {
    broadcast(kGiveUp);  // the others end quietly
    ranks_finish();
    throw;
  }
  broadcast(job.batches.most);
  const double elapsed = compute(job, progress);

  job.lines.begin("Finalizing");
  facegen_fin();
  std::vector<std::string> rows = gather(profile_rows_as_text());
  const int ranks = rank_count();
  ranks_finish();
  job.lines.end();
  job.steps.done("finalize");

  rows[0] = profile_rows_as_text();
  const ProfileSummary summary = {job.options.program, kVersion, facegen_about(),    ranks,
                                  job.batches.faces,   elapsed,  job.steps.seconds()};
  if (job.options.profile) print_note(profile_table(summary, profile_rows(rows)));
  if (job.json) {
    const std::string json = profile_json(summary, profile_rows(rows));
    job.json->append(json.data(), json.size());
    job.json->finish();
  }

  ignore_signals();
  job.data->publish();
  job.image->publish();
  if (job.json) job.json->publish();
}

// ---------------------------------------------------------------------------------------------------------------------
// The other ranks
// ---------------------------------------------------------------------------------------------------------------------

void follow(const Options& options) {
  const std::int64_t most = broadcast(0);
  if (most != kGiveUp) {
    initialize(most);
    facegen_share();
    gather_notes(options);
    {
      const bool bare = facegen_batch_faces() == 0;  // a unit that expects arrays of its own on every rank
      HostArray network(bare ? net::kNetworkFloats : 0), noise(bare ? most * net::kNoise : 0),
          faces(bare ? most * net::kFaceFloats : 0);
      for (std::int64_t n; (n = broadcast(0)) != kNoMoreBatches;) {
        facegen(int(n), network.data(), noise.data(), faces.data());
      }
    }
    facegen_fin();
    gather(profile_rows_as_text());
  }
  ranks_finish();
}

}  // namespace

int main(int argc, char** argv) {
  ProfileSteps steps;
  guard_ways_out(argc > 0 ? argv[0] : "facegen");
  // What another thread may be using when something fails lives here: fail_now() does not come back to destroy it.
  Options options;
  std::unique_ptr<Progress> progress;
  std::unique_ptr<Job> job;
  try {
    options = parse_options(argc, argv);
    if (options.help || options.version) {
      const std::string version = options.program + " " + kVersion + " (" + facegen_about() + ")\n";
      print_or_fail(options.help ? help_text(options.program) : version, stdout);
    } else {
      ranks_start(&argc, &argv);
      progress = std::make_unique<Progress>(options.quiet);
      const auto tell = [](void* to, int faces_done) { static_cast<Progress*>(to)->within_batch(faces_done); };
      const facegen_options unit = {options.devices.empty() ? nullptr : options.devices.c_str(), options.threads, tell,
                                    progress.get()};
      facegen_configure(&unit);
      if (is_root()) {
        steps.done("start ranks");
        job = std::make_unique<Job>(options, steps);
        lead(*job, *progress);
      } else {
        follow(options);
      }
    }
    run_is_over();
    return kDone;
  } catch (...) {
    fail_now();
  }
}
