// Speed of io/: text out against the course's fprintf loop, text in against its fscanf loop, for 1, 2, ... threads.
//
//   bench_io [--faces N] [--noise N] [--threads T] [--folder DIR] [--repeats R]
//
// The values are those of faces: tanh of a smooth field.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/bench.h"
#include "common/wording.h"
#include "io/readers.h"
#include "io/writers.h"
#include "network.h"

namespace {

struct Case {
  std::string what;
  std::string target;  // for people
  int threads;
  std::int64_t faces;
  std::string path;  // what a run makes anew; "" where it makes no file
  double bytes;      // of text or pixels
  std::function<void()> work;
};

void check(bool good, const std::string& file) {
  if (!good) throw cannot("use", file, errno);
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
File open_file(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode), std::fclose);
  check(file != nullptr, path);
  return file;
}

// (faces, 64, 64, 3): smooth over a face, most values away from +-1, as a trained network's are.
std::vector<float> make_faces(std::int64_t faces) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(std::size_t(faces) * net::kFaceFloats);
  float x = 0.0f;
  for (float& value : values) {
    x = 0.98f * x + 0.2f * uniform(random);
    value = std::tanh(x);
  }
  return values;
}

// The course's way out: one fprintf a value.
void course_write(const std::string& path, std::int64_t faces, const float* values) {
  const File file = open_file(path, "w");
  std::fprintf(file.get(), "%d\n", int(faces));
  for (std::int64_t face = 0; face < faces; ++face) {
    for (int i = 0; i < net::kFaceFloats; ++i) {
      std::fprintf(file.get(), "%.4f ", double(values[face * net::kFaceFloats + i]));
    }
    std::fprintf(file.get(), "\n");
  }
}

void write(const std::unique_ptr<FaceWriter>& writer, std::int64_t faces, const float* values) {
  writer->write(faces, values);
  writer->finish();
  writer->publish();
}

// The course's way in: one fscanf a value.
void course_read(const std::string& path, std::vector<float>* noise) {
  const File file = open_file(path, "r");
  int faces = 0;
  check(std::fscanf(file.get(), "%d", &faces) == 1, path);
  for (float& value : *noise) check(std::fscanf(file.get(), "%f", &value) == 1, path);
}

class Bench {
 public:
  explicit Bench(const Arguments& given)
      : faces_(std::atoll(given.at("faces").c_str())),
        noise_(std::atoll(given.at("noise").c_str())),
        repeats_(std::atoi(given.at("repeats").c_str())),
        stem_(given.at("folder") + "/bench_io." + std::to_string(::getpid())),
        values_(make_faces(faces_)) {
    const int most = std::atoi(given.at("threads").c_str());
    for (int threads = 1; threads < most; threads *= 2) threads_.push_back(threads);
    threads_.push_back(most);
  }

  void text_out() const {
    const std::int64_t few = std::max<std::int64_t>(faces_ / 10, 1);  // the course's loop is slow
    const std::string path = stem_ + ".txt";
    write(FaceWriter::open_data(path, faces_, 1), faces_, values_.data());
    const double bytes = double(std::filesystem::file_size(path));
    std::vector<Case> group = {{"text out, fprintf", "file", 1, few, path, bytes * double(few) / double(faces_),
                                [=] { course_write(path, few, values_.data()); }}};
    for (const int threads : threads_) {
      group.push_back({"text out, ours", "file", threads, faces_, path, bytes,
                       [=] { write(FaceWriter::open_data(path, faces_, threads), faces_, values_.data()); }});
    }
    measure(group);
  }

  void pictures(const std::string& ending) const {
    const std::string path = stem_ + ending;
    write(FaceWriter::open_image(path, faces_, 1), faces_, values_.data());
    const double bytes = double(std::filesystem::file_size(path));
    std::vector<Case> group;
    for (const int threads : threads_) {
      group.push_back({"picture " + ending, "file", threads, faces_, path, bytes,
                       [=] { write(FaceWriter::open_image(path, faces_, threads), faces_, values_.data()); }});
    }
    measure(group);
  }

  void text_in() const {
    const std::string path = stem_ + ".noise.txt";
    std::mt19937 random(2);
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    {
      const File file = open_file(path, "w");
      std::fprintf(file.get(), "%lld\n", static_cast<long long>(noise_));
      for (std::int64_t i = 0; i < noise_ * net::kNoise; ++i) {
        std::fprintf(file.get(), (i + 1) % net::kNoise == 0 ? "%f \n" : "%f ", double(uniform(random)));
      }
    }
    std::vector<float> theirs(std::size_t(noise_) * net::kNoise), ours(theirs.size());
    const double bytes = double(std::filesystem::file_size(path));
    std::vector<Case> group = {{"text in, fscanf", "file", 1, noise_, "", bytes, [&] { course_read(path, &theirs); }}};
    for (const int threads : threads_) {
      group.push_back({"text in, ours", "file", threads, noise_, "", bytes,
                       [&, threads] { NoiseReader(path, threads).read(noise_, ours.data()); }});
    }
    measure(group);
    std::filesystem::remove(path);
    if (ours != theirs) throw Failure(kBadInput, "text in differs from fscanf");
  }

 private:
  // Runs the cases of a group in turn, so that whatever else the machine does strikes all alike.
  void measure(const std::vector<Case>& group) const {
    std::vector<std::vector<double>> seconds(group.size());
    for (int repeat = 0; repeat < repeats_; ++repeat) {
      for (std::size_t i = 0; i < group.size(); ++i) {
        std::filesystem::remove(group[i].path);
        seconds[i].push_back(seconds_of(group[i].work));
      }
    }
    for (std::size_t i = 0; i < group.size(); ++i) {
      const Case& c = group[i];
      std::filesystem::remove(c.path);
      Row("rows")
          .set("what", c.what)
          .set("target", c.target)
          .set("threads", c.threads)
          .set("faces", double(c.faces))
          .set("bytes", c.bytes)
          .set("median_s", median(seconds[i]))
          .set("best_s", best(seconds[i]))
          .set("faces_per_s", double(c.faces) / median(seconds[i]))
          .set("seconds", seconds[i]);
    }
  }

  const std::int64_t faces_, noise_;  // of text out, of text in
  const int repeats_;
  const std::string stem_;  // of scratch files
  const std::vector<float> values_;
  std::vector<int> threads_;
};

}  // namespace

int main(int argc, char** argv) {
  return guarded_main("bench_io", [&] {
    const std::string threads = std::to_string(std::max(1u, std::thread::hardware_concurrency()));
    const Bench bench(
        parse(argc, argv,
              {{"faces", "2000"}, {"noise", "100000"}, {"threads", threads}, {"repeats", "7"}, {"folder", "/tmp"}}));
    bench.text_out();
    bench.text_in();
    bench.pictures(".bmp");
    try {
      bench.pictures(".png");
    } catch (const Failure& failure) {
      std::printf("left out: %s\n", failure.what());  // no libpng, say
    }
    return kDone;
  });
}
