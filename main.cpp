// The driver: reads the files, has the faces computed (facegen.h), times that, writes the files.
//
// It prints the course's lines (SPEC 3). Where the computing unit allows it, the run goes in batches that overlap:
// batch k+1 is read and batch k-1 is written while batch k is computed, so that memory stays bounded for any number of
// faces. Only rank 0 touches the files; every other rank just computes what it is given.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "common/failure.h"
#include "common/profile.h"
#include "driver/batches.h"
#include "driver/course_globals.h"
#include "driver/options.h"
#include "driver/progress.h"
#include "facegen_hooks.h"
#include "io/output_file.h"
#include "io/readers.h"
#include "io/writers.h"
#include "network.h"
#include "run/launch.h"
#include "run/ranks.h"

namespace {

constexpr std::int64_t kNoMoreBatches = -1, kGiveUp = -2;  // said by rank 0 in place of a batch's number of faces

// Does one stage of the host's work and remembers how long it took, for how many faces and bytes.
template <typename Work>
void stage(const char* name, std::int64_t faces, std::int64_t bytes, Work work) {
  const ProfileTimer timer;
  work();
  profile_add(name, "", timer.seconds(), bytes, faces);
}

// ---------------------------------------------------------------------------------------------------------------------
// Rank 0
// ---------------------------------------------------------------------------------------------------------------------

// The lines that scripts read. They go to standard error where standard output carries faces.
class Lines {
 public:
  explicit Lines(const Options& options) : file_(options.data == "-" || options.image == "-" ? stderr : stdout) {}
  ~Lines() {
    if (open_) std::fputc('\n', file_);  // something went wrong: its sentence gets a line of its own
  }
  void begin(const std::string& what, bool shown = true) {
    if (shown) print(what + "...");
    open_ = shown;
  }
  void end() {
    if (open_) print(" done!\n");
    open_ = false;
  }
  void elapsed(double seconds) {
    char text[64];
    std::snprintf(text, sizeof text, "Elapsed time : %.6f sec\n", seconds);
    print(text);
  }

 private:
  void print(const std::string& text) {
    if (std::fputs(text.c_str(), file_) < 0 || std::fflush(file_) != 0) {
      throw Failure(kMachine, "standard output cannot be written: it was closed, or its disk is full");
    }
  }
  std::FILE* file_;
  bool open_ = false;
};

// All that can be wrong with the arguments is found here, before anything is computed.
struct Files {
  std::vector<float> network;
  std::unique_ptr<NoiseReader> noise;
  std::unique_ptr<FaceWriter> data, image;
  std::vector<float> first_noise;  // (n, 100), the first batch
};

void warn_of_surplus(const Options& options, const Files& files) {
  if (!files.noise->surplus()) return;
  std::fprintf(stderr, "%s: warning: '%s' holds more numbers than its %lld faces need; the rest is ignored\n",
               options.program.c_str(), options.noise.c_str(), static_cast<long long>(files.noise->faces()));
}

// The next n faces' noise -> noise (n, 100).
void read_noise(Files& files, std::int64_t n, float* noise) {
  stage("read noise", n, 0, [&] { files.noise->read(n, noise); });
}

// Writes n faces (n, 64, 64, 3) in the background; none: that output was not asked for.
std::future<void> write_faces(const char* name, FaceWriter* writer, bool none, std::int64_t n, const float* faces) {
  return std::async(std::launch::async, [=] {
    if (!none) stage(name, n, n * kFaceBytes, [&] { writer->write(n, faces); });
  });
}

Batches open_files(const Options& options, Lines& lines, Files& files) {
  const int threads = options.threads > 0 ? options.threads : usable_cpus();
  lines.begin("Reading '" + options.network + "'");
  stage("read network", 0, net::kNetworkBytes, [&] { files.network = read_network(options.network); });
  lines.end();

  lines.begin("Reading '" + options.noise + "'");
  stage("read noise", 0, 0, [&] { files.noise = std::make_unique<NoiseReader>(options.noise, threads); });
  const std::int64_t faces = files.noise->faces();
  files.data = FaceWriter::open_data(options.data, faces, threads);
  files.image = FaceWriter::open_image(options.image, faces, threads);
  const Batches batches = plan_batches(faces, options.batch);
  files.first_noise.resize(std::size_t(batches.size(0)) * net::kNoise);
  read_noise(files, batches.size(0), files.first_noise.data());
  lines.end();
  if (batches.count() == 1) warn_of_surplus(options, files);
  return batches;
}

// mpirun and srun forward standard output and standard error apart. A pause between the two keeps their order.
void let_launcher_forward() {
  if (launched()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

// Called on every rank.
void initialize(std::int64_t faces) {
  set_course_globals(faces, rank(), rank_count());
  facegen_init();
}

// What the computing unit has to say of each rank. Rank 0 says it for all, while no line of ours is open on the
// terminal; called on every rank.
void print_notes(const Options& options) {
  std::string note;
  if (facegen_note()) {
    const std::string place = rank_place();
    note = options.program + ": " + place + (place.empty() ? "" : ": ") + facegen_note() + "\n";
  }
  std::string notes;
  for (const std::string& of_rank : gather(note)) notes += of_rank;
  if (notes.empty()) return;
  let_launcher_forward();
  std::fputs(notes.c_str(), stderr);
  let_launcher_forward();
}

// Computes and writes every batch; prints the lines from "Initializing" to the last "Writing". Returns the elapsed
// time.
double compute(const Options& options, const Batches& batches, Lines& lines, Files& files) {
  const bool no_data = options.data == "none", no_image = options.image == "none";

  lines.begin("Initializing");
  stage("initialize", 0, 0, [&] { initialize(batches.faces); });
  const HostArray network(net::kNetworkFloats);
  std::unique_ptr<Batch> batch[2];
  for (int i = 0; i < std::min<std::int64_t>(2, batches.count()); ++i) batch[i] = std::make_unique<Batch>(batches.most);
  facegen_share();
  std::copy(files.network.begin(), files.network.end(), network.data());
  std::copy(files.first_noise.begin(), files.first_noise.end(), batch[0]->noise.data());
  lines.end();
  print_notes(options);

  lines.begin("Calculating");
  progress_start(batches.faces, options.quiet);
  double elapsed = 0;
  std::future<void> data_written, image_written, next_read;  // at most one batch is being written, and one read
  for (std::int64_t k = 0; k < batches.count(); ++k) {
    const std::int64_t n = batches.size(k);
    Batch& now = *batch[k % 2];
    if (k + 1 < batches.count()) {
      next_read = std::async(std::launch::async, read_noise, std::ref(files), batches.size(k + 1),
                             batch[(k + 1) % 2]->noise.data());
    }

    broadcast(n);
    const ProfileTimer timer;
    facegen(int(n), k == 0 ? network.data() : nullptr, now.noise.data(), now.faces.data());
    elapsed += timer.seconds();
    progress_batch_done(n);

    if (k > 0) {
      data_written.get();
      image_written.get();
    }
    data_written = write_faces("write data", files.data.get(), no_data, n, now.faces.data());
    image_written = write_faces("write picture", files.image.get(), no_image, n, now.faces.data());
    if (next_read.valid()) next_read.get();
  }
  broadcast(kNoMoreBatches);
  progress_end();
  lines.end();
  lines.elapsed(elapsed);
  if (batches.count() > 1) warn_of_surplus(options, files);

  lines.begin("Writing '" + options.data + "'", !no_data);
  data_written.get();
  files.data->finish();
  lines.end();
  lines.begin("Writing '" + options.image + "'", !no_image);
  image_written.get();
  files.image->finish();
  lines.end();
  return elapsed;
}

// Every rank's rows of the profile, on rank 0; elsewhere nothing.
std::vector<ProfileRow> gather_profile() {
  const std::vector<std::string> texts = gather(profile_rows_as_text());
  std::vector<ProfileRow> rows;
  for (std::size_t r = 0; r < texts.size(); ++r) {
    for (ProfileRow& row : profile_rows_from_text(texts[r])) {
      row.rank = int(r);
      rows.push_back(row);
    }
  }
  return rows;
}

void report_profile(const Options& options, const ProfileSummary& summary, const std::vector<ProfileRow>& rows) {
  if (options.profile) std::fputs(profile_table(summary, rows).c_str(), stderr);
  if (options.json.empty()) return;
  const std::string json = profile_json(summary, rows);
  OutputFile file(options.json);
  file.append(json.data(), json.size());
  file.finish();
}

void run_root(const Options& options) {
  const ProfileTimer whole_run;
  Lines lines(options);
  Batches batches = {};
  double elapsed = 0;
  {
    Files files;
    try {
      batches = open_files(options, lines, files);
    } catch (...) {
      broadcast(kGiveUp);  // the others end quietly
      ranks_finish();
      throw;
    }
    broadcast(batches.most);
    elapsed = compute(options, batches, lines, files);
  }
  lines.begin("Finalizing");
  facegen_fin();
  const std::vector<ProfileRow> rows = gather_profile();
  const int ranks = rank_count();
  ranks_finish();
  lines.end();
  report_profile(
      options, {options.program, kVersion, facegen_about(), ranks, batches.faces, elapsed, whole_run.seconds()}, rows);
}

// ---------------------------------------------------------------------------------------------------------------------
// The other ranks
// ---------------------------------------------------------------------------------------------------------------------

void run_other(const Options& options) {
  const std::int64_t most = broadcast(0);
  if (most != kGiveUp) {
    initialize(most);
    facegen_share();
    print_notes(options);
    {
      const bool bare = facegen_batch_faces() == 0;  // a unit that expects arrays of its own on every rank
      HostArray network(bare ? net::kNetworkFloats : 0), noise(bare ? most * net::kNoise : 0),
          faces(bare ? most * net::kFaceFloats : 0);
      for (std::int64_t n; (n = broadcast(0)) != kNoMoreBatches;) {
        facegen(int(n), network.data(), noise.data(), faces.data());
      }
    }
    facegen_fin();
    gather_profile();
  }
  ranks_finish();
}

// ---------------------------------------------------------------------------------------------------------------------
// Ways out
// ---------------------------------------------------------------------------------------------------------------------

// A signal ends the run, and nothing half-written stays behind.
void on_signal(int signal) {
  remove_unfinished_files();
  const char sentence[] = "\nfacegen: stopped by a signal; unfinished output files were removed\n";
  const bool ours_to_say = rank_count() == 1;  // in a larger job another rank, or mpirun, has said why
  if (ours_to_say && write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0) std::_Exit(kMachine);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

[[noreturn]] void fail(const Options& options, int status, const std::string& sentence) {
  remove_unfinished_files();
  const std::string place = rank_place();
  std::fprintf(stderr, "%s: %s%s%s\n", options.program.c_str(), place.c_str(), place.empty() ? "" : ": ",
               sentence.c_str());
  end_job(status);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  try {
    options = parse_options(argc, argv);
  } catch (const Failure& failure) {  // the same on every rank: one of them says so
    const std::string path = argv[0];
    if (launched_rank() == 0)
      std::fprintf(stderr, "%s: %s\n", path.substr(path.find_last_of('/') + 1).c_str(), failure.what());
    return failure.status();
  }
  if (options.help) return std::fputs(help_text(options.program).c_str(), stdout) < 0 ? kMachine : kDone;
  if (options.version) {
    return std::printf("%s %s (%s)\n", options.program.c_str(), kVersion, facegen_about()) < 0 ? kMachine : kDone;
  }

  try {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, on_signal);
    for (const int signal : {SIGPIPE, SIGXFSZ})
      std::signal(signal, SIG_IGN);  // failed writes, which say what and where
    ranks_start(&argc, &argv);
    facegen_options unit = {options.devices.empty() ? nullptr : options.devices.c_str(), options.threads,
                            progress_within_batch};
    facegen_configure(&unit);
    if (is_root()) {
      run_root(options);
    } else {
      run_other(options);
    }
    return kDone;
  } catch (const Failure& failure) {
    fail(options, failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    fail(options, kMachine, "out of memory; try a smaller --batch");
  } catch (const std::exception& error) {
    fail(options, kMachine, error.what());
  }
}
