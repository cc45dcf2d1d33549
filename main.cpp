// The driver: reads the files, has the faces computed (facegen.h), times that, writes the files.
//
// It prints the course's lines (driver/lines.h). Where the computing unit allows it, the run goes in batches that
// overlap: batch k+1 is read and batch k-1 is written while batch k is computed, so that memory stays bounded for any
// number of faces. Only rank 0 touches the files; every other rank just computes what it is given.
//
// A run that fails leaves every output as it was: they get their names at the very end (lead()), and whatever goes
// wrong before that, in any thread, goes straight to fail_now() (driver/ways_out.h).
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "common/failure.h"
#include "common/profile.h"
#include "driver/batches.h"
#include "driver/course_globals.h"
#include "driver/job.h"
#include "driver/options.h"
#include "driver/progress.h"
#include "driver/ways_out.h"
#include "facegen_hooks.h"
#include "network.h"
#include "run/ranks.h"

namespace {

constexpr std::int64_t kNoMoreBatches = -1, kGiveUp = -2;  // said by rank 0 in place of a number of faces

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

// Called on every rank.
void initialize(std::int64_t faces) {
  set_course_globals(faces, rank(), rank_count());
  facegen_init();
}

// ---------------------------------------------------------------------------------------------------------------------
// Rank 0
// ---------------------------------------------------------------------------------------------------------------------

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
  job.lines.begin("Initializing");
  initialize(job.batches.faces);
  job.profile.step("initialize");
  const HostArray network(net::kNetworkFloats);
  for (int i = 0; i < std::min<std::int64_t>(2, job.batches.count()); ++i) {
    job.batch[i] = std::make_unique<Batch>(job.batches.most);
  }
  facegen_share();
  std::copy(job.network.begin(), job.network.end(), network.data());
  std::copy(job.first_noise.begin(), job.first_noise.end(), job.batch[0]->noise.data());
  job.network = job.first_noise = {};
  job.lines.end();
  job.profile.step("allocate arrays");
  const std::string notes = job.notes() + gather_notes(job.options);
  if (!notes.empty()) print_note(notes);

  job.lines.begin("Calculating");
  progress.start(job.batches.faces, job.lines.on_terminal());
  double elapsed = 0;
  for (std::int64_t k = 0; k < job.batches.count(); ++k) {
    const std::int64_t n = job.batches.size(k);
    Batch& now = *job.batch[k % 2];
    const bool more = k + 1 < job.batches.count();
    if (more) job.read_noise(k + 1);

    broadcast(n);
    if (rank_count() > 1) job.profile.step("wait for ranks");
    const ProfileTimer timer;
    compute_batch(progress, n, network.data(), k == 0, now);
    elapsed += timer.seconds();
    job.profile.step("calculate", n);
    progress.batch_done(n);

    job.data.wait();
    job.picture.wait();
    job.profile.step("wait for writers");
    job.data.write(n, now.faces.data());
    job.picture.write(n, now.faces.data());
    if (more) {
      job.wait_for_noise();
      job.profile.step("wait for noise");
    }
  }
  broadcast(kNoMoreBatches);
  progress.end();
  job.lines.end();
  job.lines.elapsed(elapsed);
  if (job.batches.count() > 1) job.warn_of_surplus();

  job.data.finish(job.lines);
  job.picture.finish(job.lines);
  for (std::unique_ptr<Batch>& batch : job.batch) batch.reset();
  job.profile.step("wait for writers");
  return elapsed;
}

// The whole run as rank 0 leads it.
void lead(Job& job, Progress& progress) {
  try {
    job.open_files();
  } catch (...) {
    broadcast(kGiveUp);  // the others end quietly
    ranks_finish();
    throw;
  }
  broadcast(job.batches.most);
  const double elapsed = compute(job, progress);

  job.lines.begin("Finalizing");
  facegen_fin();
  std::vector<std::string> texts = gather(job.profile.as_text());
  const int ranks = rank_count();
  ranks_finish();
  job.lines.end();
  job.profile.step("finalize");

  texts[0] = job.profile.as_text();
  std::vector<ProfileRow> rows = profile_rows(texts);
  const auto is_compute = [](const ProfileRow& row) { return row.stage == "compute"; };
  if (std::none_of(rows.begin(), rows.end(), is_compute)) {  // the unit says nothing of its own
    for (ProfileRow& row : rows) {
      if (row.stage == "calculate") row.stage = "compute";
    }
  }
  const ProfileSummary summary = {job.options.program, kVersion, facegen_about(),      ranks,
                                  job.batches.faces,   elapsed,  job.profile.seconds()};
  if (job.options.profile) print_note(profile_table(summary, rows));
  job.finish_json(profile_json(summary, rows));

  ignore_signals();
  job.publish();
}

// ---------------------------------------------------------------------------------------------------------------------
// The other ranks
// ---------------------------------------------------------------------------------------------------------------------

void follow(const Options& options, const Profile& profile) {
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
    gather(profile.as_text());
  }
  ranks_finish();
}

}  // namespace

int main(int argc, char** argv) {
  guard_ways_out(argc > 0 ? argv[0] : "facegen");
  // What another thread may be using when something fails lives here: fail_now() does not come back to destroy it.
  Profile profile;
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
                                    progress.get(), &profile};
      const bool heeded = facegen_configure(&unit) != 0;
      if (is_root()) {
        profile.step("start ranks");
        job = std::make_unique<Job>(options, profile, heeded);
        lead(*job, *progress);
      } else {
        follow(options, profile);
      }
    }
    run_is_over();
    return kDone;
  } catch (...) {
    fail_now();
  }
}
