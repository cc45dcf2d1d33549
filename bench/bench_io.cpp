// Speed of io/: text out against the course's fprintf loop, text in against its fscanf loop, for 1, 2, ... threads.
//
//   bench_io [--faces N] [--noise N] [--threads T] [--folder DIR] [--repeats R] [--json FILE]
//
// Prints a table of medians and best times; --json also writes every run. The values are those of faces: tanh of a
// smooth field.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/failure.h"
#include "io/readers.h"
#include "io/writers.h"
#include "network.h"

namespace {

struct Options {
  std::int64_t faces = 2000;    // text out
  std::int64_t noise = 100000;  // text in, faces
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  int repeats = 7;
  std::string folder = "/tmp";
  std::string json;
};

struct Case {
  std::string what;
  std::string target;  // for people
  int threads;
  std::int64_t faces;
  std::string path;  // what a run makes anew; "" where it makes no file
  double bytes;      // of text or pixels
  std::function<void()> work;
  std::vector<double> seconds;  // one a repeat

  double best() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

double time_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void check(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(3);
}

double file_bytes(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  check(file != nullptr && std::fseek(file, 0, SEEK_END) == 0, path.c_str());
  const double bytes = static_cast<double>(std::ftell(file));
  std::fclose(file);
  return bytes;
}

// (faces, 64, 64, 3): smooth over a face, most values away from +-1, as a trained network's are.
std::vector<float> make_faces(std::int64_t faces) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(static_cast<std::size_t>(faces) * net::kFaceFloats);
  float x = 0.0f;
  for (float& value : values) {
    x = 0.98f * x + 0.2f * uniform(random);
    value = std::tanh(x);
  }
  return values;
}

// The course's way out: one fprintf a value.
void course_write(const std::string& path, std::int64_t faces, const float* values) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  check(file != nullptr, path.c_str());
  std::fprintf(file, "%d\n", static_cast<int>(faces));
  for (std::int64_t face = 0; face < faces; ++face) {
    for (int i = 0; i < net::kFaceFloats; ++i) {
      std::fprintf(file, "%.4f ", static_cast<double>(values[face * net::kFaceFloats + i]));
    }
    std::fprintf(file, "\n");
  }
  check(std::fclose(file) == 0, path.c_str());
}

void our_write(const std::string& path, std::int64_t faces, const float* values, int threads) {
  const std::unique_ptr<FaceWriter> writer = FaceWriter::open_data(path, faces, threads);
  writer->write(faces, values);
  writer->finish();
  writer->publish();
}

void our_picture(const std::string& path, std::int64_t faces, const float* values, int threads) {
  const std::unique_ptr<FaceWriter> writer = FaceWriter::open_image(path, faces, threads);
  writer->write(faces, values);
  writer->finish();
  writer->publish();
}

// The course's way in: one fscanf a value.
void course_read(const std::string& path, std::vector<float>* noise) {
  std::FILE* file = std::fopen(path.c_str(), "r");
  check(file != nullptr, path.c_str());
  int faces = 0;
  check(std::fscanf(file, "%d", &faces) == 1, path.c_str());
  for (float& value : *noise) check(std::fscanf(file, "%f", &value) == 1, path.c_str());
  std::fclose(file);
}

void our_read(const std::string& path, std::vector<float>* noise, int threads) {
  NoiseReader reader(path, threads);
  reader.read(reader.faces(), noise->data());
}

// Runs the cases of a group in turn, so that whatever else the machine does strikes all alike; prints them with ratios
// to the first.
void measure(int repeats, std::vector<Case>* group) {
  for (int i = 0; i < repeats; ++i) {
    for (Case& c : *group) {
      if (!c.path.empty()) std::remove(c.path.c_str());
      c.seconds.push_back(time_of(c.work));
    }
  }
  const auto per_face = [](const Case& c) { return c.median() / static_cast<double>(c.faces); };
  for (const Case& c : *group) {
    std::printf("%-18s %-10s %3d %8lld %9.2f %9.2f %10.0f %7.3f %7.1f\n", c.what.c_str(), c.target.c_str(), c.threads,
                static_cast<long long>(c.faces), 1e3 * c.median(), 1e3 * c.best(), 1.0 / per_face(c),
                c.bytes / c.median() / 1e9, per_face(group->front()) / per_face(c));
    if (!c.path.empty()) std::remove(c.path.c_str());
  }
  std::fflush(stdout);
}

std::vector<int> thread_counts(const Options& options) {
  std::vector<int> counts;
  for (int threads = 1; threads < options.threads; threads *= 2) counts.push_back(threads);
  counts.push_back(options.threads);
  return counts;
}

std::string scratch(const Options& options, const std::string& ending) {
  return options.folder + "/bench_io." + std::to_string(::getpid()) + ending;
}

std::vector<Case> text_out(const Options& options, const std::vector<float>& faces, bool to_file) {
  const std::int64_t few = std::max<std::int64_t>(options.faces / 10, 1);  // the course's loop is slow
  const std::string sample = scratch(options, ".sample.txt");
  our_write(sample, options.faces, faces.data(), 1);
  const double bytes = file_bytes(sample);
  std::remove(sample.c_str());

  const std::string path = to_file ? scratch(options, ".txt") : "";
  const std::string target = to_file ? path : "/dev/null";
  const std::string name = to_file ? "file" : target;
  const double few_bytes = bytes * static_cast<double>(few) / static_cast<double>(options.faces);
  std::vector<Case> group;
  group.push_back({"text out, fprintf",
                   name,
                   1,
                   few,
                   path,
                   few_bytes,
                   [=, &faces] { course_write(target, few, faces.data()); },
                   {}});
  for (const int threads : thread_counts(options)) {
    const auto work = [=, &faces] { our_write(target, options.faces, faces.data(), threads); };
    group.push_back({"text out, ours", name, threads, options.faces, path, bytes, work, {}});
  }
  measure(options.repeats, &group);
  return group;
}

std::vector<Case> pictures(const Options& options, const std::vector<float>& faces, const std::string& ending) {
  const std::string path = scratch(options, ending);
  our_picture(path, options.faces, faces.data(), 1);
  const double bytes = file_bytes(path);
  std::vector<Case> group;
  for (const int threads : thread_counts(options)) {
    const auto work = [=, &faces] { our_picture(path, options.faces, faces.data(), threads); };
    group.push_back({"picture " + ending, "file", threads, options.faces, path, bytes, work, {}});
  }
  measure(options.repeats, &group);
  return group;
}

std::vector<Case> text_in(const Options& options) {
  const std::string path = scratch(options, ".noise.txt");
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::FILE* file = std::fopen(path.c_str(), "w");
  check(file != nullptr, path.c_str());
  std::fprintf(file, "%lld\n", static_cast<long long>(options.noise));
  for (std::int64_t i = 0; i < options.noise; ++i) {
    for (int j = 0; j < net::kNoise; ++j) std::fprintf(file, "%f ", static_cast<double>(uniform(random)));
    std::fprintf(file, "\n");
  }
  check(std::fclose(file) == 0, path.c_str());

  std::vector<float> theirs(static_cast<std::size_t>(options.noise) * net::kNoise);
  std::vector<float> ours(theirs.size());
  const double bytes = file_bytes(path);
  std::vector<Case> group;
  group.push_back({"text in, fscanf", "file", 1, options.noise, "", bytes, [&] { course_read(path, &theirs); }, {}});
  for (const int threads : thread_counts(options)) {
    group.push_back({"text in, ours",
                     "file",
                     threads,
                     options.noise,
                     "",
                     bytes,
                     [&, threads] { our_read(path, &ours, threads); },
                     {}});
  }
  measure(options.repeats, &group);
  std::remove(path.c_str());
  check(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)) == 0, "text in differs from fscanf");
  return group;
}

void write_json(const std::string& path, const std::vector<Case>& cases) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  check(file != nullptr, path.c_str());
  std::fprintf(file, "[\n");
  for (const Case& c : cases) {
    std::fprintf(file, "  {\"what\": \"%s\", \"target\": \"%s\", \"threads\": %d, \"faces\": %lld, \"bytes\": %.0f, ",
                 c.what.c_str(), c.target.c_str(), c.threads, static_cast<long long>(c.faces), c.bytes);
    std::fprintf(file, "\"median_s\": %.6f, \"best_s\": %.6f, \"seconds\": [", c.median(), c.best());
    for (std::size_t i = 0; i < c.seconds.size(); ++i) std::fprintf(file, "%s%.6f", i == 0 ? "" : ", ", c.seconds[i]);
    std::fprintf(file, "]}%s\n", &c == &cases.back() ? "" : ",");
  }
  std::fprintf(file, "]\n");
  check(std::fclose(file) == 0, path.c_str());
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--faces") {
      options.faces = std::atoll(value.c_str());
    } else if (name == "--noise") {
      options.noise = std::atoll(value.c_str());
    } else if (name == "--threads") {
      options.threads = std::atoi(value.c_str());
    } else if (name == "--repeats") {
      options.repeats = std::atoi(value.c_str());
    } else if (name == "--folder") {
      options.folder = value;
    } else if (name == "--json") {
      options.json = value;
    } else {
      std::fprintf(stderr, "bench_io: unknown option %s; see the head of bench_io.cpp.\n", name.c_str());
      std::exit(2);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::printf("%-18s %-10s %3s %8s %9s %9s %10s %7s %7s\n", "", "to", "T", "faces", "ms", "best ms", "faces/s", "GB/s",
              "ratio");
  const std::vector<float> faces = make_faces(options.faces);
  std::vector<Case> all;
  const auto add = [&](const std::vector<Case>& group) { all.insert(all.end(), group.begin(), group.end()); };
  try {
    add(text_out(options, faces, true));
    add(text_out(options, faces, false));
    add(text_in(options));
    add(pictures(options, faces, ".bmp"));
    add(pictures(options, faces, ".png"));
  } catch (const Failure& failure) {
    std::fprintf(stderr, "bench_io: %s\n", failure.what());  // no libpng, say
  }
  if (!options.json.empty()) write_json(options.json, all);
  return 0;
}
