// compare_result <output> <answer>: do two output data files hold the same faces, within the course's tolerance?
//
// Two values agree where they differ by less than 1e-3, or by less than 1e-3 of the answer. Not-a-number never agrees.
// Unlike the course's tool it also fails where the counts differ, or where a file ends early or goes on too long.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "common/decimal.h"
#include "common/failure.h"
#include "common/printable.h"
#include "driver/options.h"
#include "driver/progress.h"
#include "io/row_reader.h"
#include "network.h"

namespace {

constexpr double kTolerance = 1e-3;
constexpr std::int64_t kChunkFaces = 64;  // compared at a time: 3 MiB of each file

const char* const kHelp =
    R"(Usage: compare_result <output> <answer>

Compares two output data files, such as those of facegen_parallel and facegen_seq for the same noise, value by value: text
(N, then N x 64 x 64 x 3 values) or .npy (float32, (N,64,64,3)), either on either side; - is standard input, as text. Two values agree where the absolute difference is < 1e-3, or the difference
relative to the answer is < 1e-3. Not-a-number never agrees.

Prints whether they are the same, or the first value that differs (image, h, w, c counted from 0), and at last how many
values were compared and the worst difference with its place. On a terminal, long comparisons show how far they are.

  -h, --help      this text
  -V, --version   the version

Example:
  compare_result output1.txt answer1.txt

Exit status: 0 the same; 1 they differ, or a file cannot be read; 2 wrong usage; 3 the machine failed (memory, disk).
)";

// "pixel (h, w, c) of Nth image"
std::string place(std::int64_t i) {
  const std::int64_t n = i / net::kFaceFloats, hwc = i % net::kFaceFloats;
  const std::int64_t h = hwc / (net::kFaceW * net::kFaceC), w = hwc / net::kFaceC % net::kFaceW, c = hwc % net::kFaceC;
  return "pixel (" + std::to_string(h) + ", " + std::to_string(w) + ", " + std::to_string(c) + ") of " +
         std::to_string(n) + "th image";
}

bool agree(double output, double answer) {
  const double difference = std::fabs(output - answer);
  return difference < kTolerance || (answer != 0 && difference / std::fabs(answer) < kTolerance);
}

void write(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    throw Failure(kMachine, "standard output cannot be written: it was closed, or its disk is full");
  }
}

void print(const std::string& line) { write(printable(line) + "\n"); }

// A file of faces, read chunk by chunk.
struct Faces {
  Faces(const std::string& path, int threads)
      : path(path),
        rows(RowReader::open(path, {"a file of faces", {net::kFaceH, net::kFaceW, net::kFaceC}, false}, threads)),
        chunk(static_cast<std::size_t>(kChunkFaces) * net::kFaceFloats) {}

  const std::string path;
  const std::unique_ptr<RowReader> rows;
  std::vector<float> chunk;
};

// Returns whether the files are the same; prints what docs/contract.md says.
bool compare(const std::string& output_path, const std::string& answer_path) {
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  Faces outputs(output_path, threads), answers(answer_path, threads);
  const std::int64_t n = outputs.rows->rows(), count = n * net::kFaceFloats;
  if (n != answers.rows->rows()) {
    print(output_path + " holds " + std::to_string(n) + " images, but " + answer_path + " holds " +
          std::to_string(answers.rows->rows()) + ".");
    return false;
  }

  Progress progress(false);
  bool same = true;
  double worst = -1;  // none yet; not-a-number counts as worse than anything
  std::int64_t worst_at = 0, compared = 0;
  const auto differ = [&](const std::string& line) {
    progress.end();
    print(line);
    same = false;
  };
  const auto wrong_length = [&](const Faces& faces, const std::string& how) {
    differ(faces.path + " " + how + " " + std::to_string(compared) + " values, but its " + std::to_string(n) +
           " images have " + std::to_string(count) + ".");
  };
  progress.start(n, "");
  while (compared < count) {
    const std::int64_t wanted = std::min<std::int64_t>(kChunkFaces * net::kFaceFloats, count - compared);
    const std::int64_t got = outputs.rows->read(wanted, outputs.chunk.data());
    const std::int64_t expected = answers.rows->read(wanted, answers.chunk.data());
    const std::int64_t both = std::min(got, expected);
    for (std::int64_t i = 0; i < both; ++i, ++compared) {
      const double output = outputs.chunk[static_cast<std::size_t>(i)];
      const double answer = answers.chunk[static_cast<std::size_t>(i)];
      const double difference = std::fabs(output - answer);
      if (!(difference <= worst) && !std::isnan(worst)) {
        worst = difference;
        worst_at = compared;
      }
      if (same && !agree(output, answer)) {
        differ(place(compared) + " differs.");
        print(output_path + " : " + decimal(output, 6));
        print(answer_path + " : " + decimal(answer, 6));
      }
    }
    progress.batch_done(both / net::kFaceFloats);
    Faces& shorter = got <= expected ? outputs : answers;
    float none;
    if (both < wanted && shorter.rows->read(1, &none) == 0) {  // else it throws
      wrong_length(shorter, "ends after");
      break;
    }
  }
  progress.end();
  if (compared == count) {
    for (const Faces* faces : {&outputs, &answers}) {
      if (faces->rows->surplus()) wrong_length(*faces, "holds more than");
    }
  }

  if (same) print(output_path + " and " + answer_path + " are same.");
  print(std::to_string(compared) + " values compared" +
        (compared == 0 ? "." : ", worst difference " + significant(worst, 6) + " at " + place(worst_at) + "."));
  return same;
}

int run(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "-h" || argument == "--help") return write(kHelp), kDone;
    if (argument == "-V" || argument == "--version") return print(std::string("compare_result ") + kVersion), kDone;
    if (argument.size() > 1 && argument[0] == '-')
      throw Failure(kUsage, "there is no option '" + argument + "'; see --help");
  }
  if (arguments.size() != 2) {
    throw Failure(
        kUsage, "expected 2 arguments, <output> <answer>, found " + std::to_string(arguments.size()) + "; see --help");
  }
  if (arguments[0] == "-" && arguments[1] == "-") throw Failure(kUsage, "standard input cannot be both files");
  return compare(arguments[0], arguments[1]) ? kDone : kBadInput;
}

}  // namespace

int main(int argc, char** argv) {
  std::string sentence;
  int status = kMachine;
  try {
    return run(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
  } catch (const Failure& failure) {
    status = failure.status();
    sentence = failure.what();
  } catch (const std::bad_alloc&) {
    sentence = "out of memory";
  } catch (const std::exception& error) {
    sentence = error.what();
  }
  // "'x' does not exist.", as the course's tool says it.
  std::fprintf(stderr, "%s%s\n", status == kBadInput ? "" : "compare_result: ", sentence.c_str());
  return status;
}
