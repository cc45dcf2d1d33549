// Speed of io/: text out against the course's fprintf loop, text in against its fscanf loop, for 1, 2, ... threads.
//
//   bench_io [--faces N] [--noise N] [--threads T] [--folder DIR] [--repeats R] [--json FILE]
//
// Prints a table of medians; --json also writes every run. The values are those of faces: tanh of a smooth field.
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

struct Result {
  std::string what;
  std::string target;
  int threads;
  std::int64_t faces;
  double bytes;
  std::vector<double> seconds;  // one a repeat

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
}

void our_picture(const std::string& path, std::int64_t faces, const float* values, int threads) {
  const std::unique_ptr<FaceWriter> writer = FaceWriter::open_image(path, faces, threads);
  writer->write(faces, values);
  writer->finish();
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
  const std::unique_ptr<NoiseReader> reader = NoiseReader::open(path, threads);
  reader->read(reader->faces(), noise->data());
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {}

  void text_out();
  void pictures();
  void text_in();
  void write_json() const;

 private:
  // `baseline` is the median that ratios are taken of; 0: this one's own.
  double add(const std::string& what, const std::string& target, int threads, std::int64_t faces, int repeats,
             double baseline, const std::string& path_for_size, const std::function<void()>& work);

  const Options options_;
  std::vector<Result> results_;
};

double Bench::add(const std::string& what, const std::string& target, int threads, std::int64_t faces, int repeats,
                  double baseline, const std::string& path_for_size, const std::function<void()>& work) {
  Result result = {what, target, threads, faces, 0.0, {}};
  for (int i = 0; i < repeats; ++i) result.seconds.push_back(time_of(work));
  result.bytes = file_bytes(path_for_size);
  const double per_face = result.median() / static_cast<double>(faces);
  if (baseline == 0.0) baseline = per_face;
  std::printf("%-22s %-10s %3d %10lld %10.2f %12.0f %8.3f %8.1f\n", what.c_str(), target.c_str(), threads,
              static_cast<long long>(faces), 1e3 * result.median(), 1.0 / per_face,
              result.bytes / result.median() / 1e9, baseline / per_face);
  std::fflush(stdout);
  results_.push_back(result);
  return baseline;
}

void Bench::text_out() {
  const std::vector<float> faces = make_faces(options_.faces);
  const std::int64_t few = std::max<std::int64_t>(options_.faces / 10, 1);  // the course's loop is slow
  const std::string path = options_.folder + "/bench_io." + std::to_string(::getpid()) + ".txt";
  our_write(path, options_.faces, faces.data(), 1);
  const std::string few_path = path + ".few.txt";
  our_write(few_path, few, faces.data(), 1);
  for (const std::string& target : {std::string("file"), std::string("/dev/null")}) {
    const bool file = target == "file";
    const std::string course_path = path + ".course.txt";
    const double baseline = add("text out, fprintf", target, 1, few, std::min(options_.repeats, 5), 0.0, few_path,
                                [&] { course_write(file ? course_path : target, few, faces.data()); });
    std::remove(course_path.c_str());
    for (int threads = 1; threads <= options_.threads; threads *= 2) {
      add("text out, ours", target, threads, options_.faces, options_.repeats, baseline, path, [&] {
        if (file) std::remove(path.c_str());
        our_write(file ? path : target, options_.faces, faces.data(), threads);
      });
    }
  }
  std::remove(path.c_str());
  std::remove(few_path.c_str());
}

void Bench::pictures() {
  const std::vector<float> faces = make_faces(options_.faces);
  for (const char* ending : {".bmp", ".png"}) {
    const std::string path = options_.folder + "/bench_io." + std::to_string(::getpid()) + ending;
    our_picture(path, options_.faces, faces.data(), 1);
    add(std::string("picture ") + ending, "file", 1, options_.faces, options_.repeats, 0.0, path,
        [&] { our_picture(path, options_.faces, faces.data(), 1); });
    std::remove(path.c_str());
  }
}

void Bench::text_in() {
  const std::string path = options_.folder + "/bench_io." + std::to_string(::getpid()) + ".noise.txt";
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::FILE* file = std::fopen(path.c_str(), "w");
  check(file != nullptr, path.c_str());
  std::fprintf(file, "%lld\n", static_cast<long long>(options_.noise));
  for (std::int64_t i = 0; i < options_.noise; ++i) {
    for (int j = 0; j < net::kNoise; ++j) std::fprintf(file, "%f ", static_cast<double>(uniform(random)));
    std::fprintf(file, "\n");
  }
  check(std::fclose(file) == 0, path.c_str());

  std::vector<float> theirs(static_cast<std::size_t>(options_.noise) * net::kNoise);
  std::vector<float> ours(theirs.size());
  const double baseline = add("text in, fscanf", "file", 1, options_.noise, std::min(options_.repeats, 3), 0.0, path,
                              [&] { course_read(path, &theirs); });
  for (int threads = 1; threads <= options_.threads; threads *= 2) {
    add("text in, ours", "file", threads, options_.noise, options_.repeats, baseline, path,
        [&] { our_read(path, &ours, threads); });
    check(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)) == 0, "text in differs from fscanf");
  }
  std::remove(path.c_str());
}

void Bench::write_json() const {
  std::FILE* file = std::fopen(options_.json.c_str(), "w");
  check(file != nullptr, options_.json.c_str());
  std::fprintf(file, "[\n");
  for (const Result& r : results_) {
    std::fprintf(file, "  {\"what\": \"%s\", \"target\": \"%s\", \"threads\": %d, \"faces\": %lld, \"bytes\": %.0f, ",
                 r.what.c_str(), r.target.c_str(), r.threads, static_cast<long long>(r.faces), r.bytes);
    std::fprintf(file, "\"median_s\": %.6f, \"seconds\": [", r.median());
    for (std::size_t i = 0; i < r.seconds.size(); ++i) std::fprintf(file, "%s%.6f", i == 0 ? "" : ", ", r.seconds[i]);
    std::fprintf(file, "]}%s\n", &r == &results_.back() ? "" : ",");
  }
  std::fprintf(file, "]\n");
  check(std::fclose(file) == 0, options_.json.c_str());
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--faces") options.faces = std::atoll(argv[i + 1]);
    if (name == "--noise") options.noise = std::atoll(argv[i + 1]);
    if (name == "--threads") options.threads = std::atoi(argv[i + 1]);
    if (name == "--repeats") options.repeats = std::atoi(argv[i + 1]);
    if (name == "--folder") options.folder = argv[i + 1];
    if (name == "--json") options.json = argv[i + 1];
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::printf("%-22s %-10s %3s %10s %10s %12s %8s %8s\n", "", "to", "T", "faces", "ms", "faces/s", "GB/s", "ratio");
  Bench bench(options);
  bench.text_out();
  bench.pictures();
  bench.text_in();
  if (!options.json.empty()) bench.write_json();
  return 0;
}
