#include "driver/job.h"

#include <chrono>
#include <thread>

#include "common/printable.h"
#include "common/wording.h"
#include "driver/files.h"
#include "driver/ways_out.h"
#include "facegen_hooks.h"
#include "network.h"
#include "run/launch.h"
#include "run/ranks.h"

namespace {

// Does some work in the background, or when it is waited for where no thread is to be had, and adds it to the profile.
// The main thread may be waiting for something else, for ever: a failure ends the job from here.
template <typename Work>
std::future<void> in_background(Profile& profile, const char* stage, std::int64_t faces, std::int64_t bytes,
                                Work work) {
  return std::async([=, &profile] {
    try {
      const ProfileTimer timer;
      work();
      profile.add(stage, "", timer.seconds(), bytes, faces);
    } catch (...) {
      fail_now();
    }
  });
}

// mpirun and srun forward standard output and standard error apart. A pause between the two keeps their order.
void let_launcher_forward() {
  if (launched()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace

void print_note(const std::string& text) {
  let_launcher_forward();
  std::fputs(printable(text, "\n").c_str(), stderr);  // a unit's words, and names of files
  let_launcher_forward();
}

void Output::write(std::int64_t n, const float* faces) {
  if (path_ == "none") return;
  written_ = in_background(profile_, stage_, n, n * kFaceBytes, [this, n, faces] { writer_->write(n, faces); });
}

void Output::wait() {
  if (written_.valid()) written_.get();
}

void Output::finish(Lines& lines) {
  if (path_ == "none") return;
  lines.begin("Writing '" + path_ + "'");
  wait();
  writer_->finish();
  lines.end();
}

Job::Job(const Options& given, Profile& its_profile, bool unit_heeds_options)
    : options(given),
      profile(its_profile),
      lines(given.data == "-" || given.image == "-" || given.json == "-" ? stderr : stdout),
      data(given.data, "write data", its_profile),
      picture(given.image, "write picture", its_profile),
      unit_heeds_options_(unit_heeds_options),
      threads_(given.threads > 0 ? given.threads : usable_cpus()) {}

void Job::open_files() {
  check_one_file_each(options);
  if (options.has_json) json_ = std::make_unique<OutputFile>(options.json);
  profile.step("open files");

  lines.begin("Reading '" + options.network + "'");
  network = read_network(options.network);
  lines.end();
  profile.step("read network", 0, net::kNetworkBytes);

  lines.begin("Reading '" + options.noise + "'");
  noise_ = std::make_unique<NoiseReader>(options.noise, threads_);
  const std::int64_t faces = noise_->faces();
  data.open(FaceWriter::open_data(options.data, faces, threads_));
  picture.open(FaceWriter::open_image(options.image, faces, threads_));
  batches = plan_batches(faces, options.batch, threads_);
  first_noise.resize(std::size_t(batches.size(0)) * net::kNoise);
  noise_->read(batches.size(0), first_noise.data());
  lines.end();
  if (batches.count() == 1) warn_of_surplus();
  profile.step("read noise", batches.size(0));
}

std::string Job::notes() const {
  std::string notes;
  const auto add = [&](const std::string& note) { notes += options.program + ": " + note + "\n"; };
  const auto written_over = [&](const std::string& path, const std::string& why) {
    if (why.empty()) return;
    add("warning: " + quoted(path) + " cannot be replaced, as " + why +
        ": it will be written over at the end of the run, and a failure just then would spoil it");
  };
  if (!unit_heeds_options_ && (options.threads > 0 || !options.devices.empty())) {
    add(std::string("--devices and --threads do nothing here: ") + facegen_about());
  }
  if (!batches.note.empty()) add(batches.note);
  written_over(options.data, data.writer().irreplaceable());
  written_over(options.image, picture.writer().irreplaceable());
  if (json_) written_over(options.json, json_->irreplaceable());
  return notes;
}

void Job::read_noise(std::int64_t k) {
  const std::int64_t n = batches.size(k);
  float* const noise = batch[k % 2]->noise.data();
  noise_read_ = in_background(profile, "read noise", n, 0, [this, n, noise] { noise_->read(n, noise); });
}

void Job::wait_for_noise() { noise_read_.get(); }

void Job::warn_of_surplus() {
  if (!noise_->surplus()) return;
  print_note(options.program + ": warning: " + quoted(options.noise) + " holds more numbers than its " +
             std::to_string(batches.faces) + " faces need; the rest is ignored\n");
}

void Job::finish_json(const std::string& json) {
  if (!json_) return;
  json_->append(json.data(), json.size());
  json_->finish();
}

void Job::publish() {
  data.writer().publish();
  picture.writer().publish();
  if (json_) json_->publish();
}
