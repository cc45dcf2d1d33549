#include "driver/options.h"

#include <getopt.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "common/failure.h"
#include "common/printable.h"
#include "driver/files.h"

namespace {

// A whole decimal number in [1, most].
std::int64_t parse_count(const char* option, const char* text, std::int64_t most) {
  std::int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto result = std::from_chars(text, end, value);
  if (result.ec != std::errc() || result.ptr != end || value < 1 || value > most) {
    throw Failure(kUsage, std::string(option) + " takes a whole number from 1 to " + std::to_string(most) + ", not '" +
                              text + "'" + kSeeHelp);
  }
  return value;
}

// "all", "none", or ordinals with commas between them.
std::string parse_devices(const std::string& list) {
  if (list == "all" || list == "none") return list;
  bool after_digit = false, good = true;
  for (const char c : list) {
    const bool digit = c >= '0' && c <= '9';
    good = good && (digit || (c == ',' && after_digit));
    after_digit = digit;
  }
  if (!good || !after_digit) {
    throw Failure(kUsage, "--devices takes all, none, or a list such as 0,2, not '" + list + "'" + kSeeHelp);
  }
  return list;
}

std::string output_name(const std::string& path) { return path == "/dev/stdout" ? "-" : path; }

}  // namespace

Options parse_options(int argc, char** argv) {
  enum { kProfile = 256, kJson };  // options without a letter
  static const option kLong[] = {
      {"help", no_argument, nullptr, 'h'},
      {"version", no_argument, nullptr, 'V'},
      {"devices", required_argument, nullptr, 'd'},
      {"threads", required_argument, nullptr, 't'},
      {"batch", required_argument, nullptr, 'b'},
      {"profile", no_argument, nullptr, kProfile},
      {"json", required_argument, nullptr, kJson},
      {"quiet", no_argument, nullptr, 'q'},
      {nullptr, 0, nullptr, 0},
  };

  Options options;
  const std::string path = argc > 0 ? argv[0] : "facegen";
  options.program = printable(path.substr(path.find_last_of('/') + 1));

  opterr = 0;  // our sentences, not getopt's
  for (int c; (c = getopt_long(argc, argv, ":hVd:t:b:q", kLong, nullptr)) != -1;) {
    if (c == 'h') options.help = true;
    if (c == 'V') options.version = true;
    if (c == 'd') options.devices = parse_devices(optarg);
    if (c == 't') options.threads = int(parse_count("--threads", optarg, 65536));
    if (c == 'b') options.batch = parse_count("--batch", optarg, 1 << 30);
    if (c == kProfile) options.profile = true;
    if (c == kJson) options.has_json = true, options.json = output_name(optarg);
    if (c == 'q') options.quiet = true;
    if (c == ':') throw Failure(kUsage, std::string("option '") + argv[optind - 1] + "' needs a value" + kSeeHelp);
    if (c == '?') throw Failure(kUsage, std::string("there is no option '") + argv[optind - 1] + "'" + kSeeHelp);
  }
  if (options.help || options.version) return options;

  const int given = argc - optind;
  if (given != 4) {
    throw Failure(kUsage, "expected 4 arguments, <network> <noise> <output data> <output image>, found " +
                              std::to_string(given) + kSeeHelp);
  }
  options.network = argv[optind];
  options.noise = argv[optind + 1];
  options.data = output_name(argv[optind + 2]);
  options.image = output_name(argv[optind + 3]);
  check_names(options);
  return options;
}

std::string help_text(const std::string& program) {
  // Where this program is installed, the shipped files lie beside it.
  std::error_code unknown;
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", unknown).parent_path();
  const std::string share = (here.parent_path() / "share/facegen/").string();
  const bool installed = !unknown && std::filesystem::exists(share + "network.bin", unknown);
  const std::string network = installed ? share + "network.bin" : "network.bin";
  const std::string noise = installed ? share + "input1.txt" : "inputs/input1.txt";

  return "Usage: " + program + " [options] <network> <noise> <output data> <output image>\n" +
         R"(
Reads noise vectors and a trained generator network and writes 64x64 RGB faces, as numbers and as one picture.

  <network>       network.bin: 5,137,283 float32 (20,549,132 bytes)
  <noise>         .txt: N, then N x 100 numbers; .npy: float32 (N,100); - for standard input
  <output data>   .txt: N, then one line of 12,288 values a face; .npy: float32 (N,64,64,3); - ; none
  <output image>  .bmp or .png: one square sheet of all faces; - ; none

  -d, --devices LIST  all (default: every visible GPU, else the CPU), none (the CPU), or ordinals such as 0,2
  -t, --threads N     CPU threads a rank (default: what the scheduler or OpenMP grants)
  -b, --batch N       faces read, computed and written at a time (default: as many as fit into bounded memory)
      --profile       a table on standard error after the run: every stage, rank and device, its time, bytes,
                      faces/s, and its share of the run or of the device's arithmetic peak
      --json FILE     the same, for scripts; - for standard output
  -q, --quiet         no progress line; the course's lines on standard output stay
  -h, --help          this text
  -V, --version       version, and what was built in

facegen_seq computes on one thread of the CPU: --devices and --threads do nothing there. Outputs get their names when the
whole run is done; one that fails leaves what was there before.

Environment variables that matter:
  OMP_NUM_THREADS, OMP_THREAD_LIMIT  CPU threads a rank, where --threads says nothing
  CUDA_VISIBLE_DEVICES               the GPUs that there are for this run
  TMPDIR                             scratch files, where an output cannot be written in order (a picture to a pipe)
  FACEGEN_KERNELS                    for tests: fast, accurate, precise or exact kernels for all faces
  FACEGEN_CPU                        for measurements: avx512, avx2 or plain vectors on the CPU
  FACEGEN_NUMA                       0: do not look for memory and cores near a GPU
  FACEGEN_SHARE                      0: ranks of one node send messages instead of sharing memory
  FACEGEN_PATIENCE                   seconds after which a rank that has stopped ends the job (default: never)
  FACEGEN_FAIL_GPU                   for tests: 1:5 takes GPU 1 away in its fifth chunk

Example:
  )" + program +
         " " + network + " " + noise + R"( output1.txt output1.bmp

Exit status: 0 done; 1 bad input or a failed check; 2 wrong usage; 3 the machine failed (GPU, MPI, memory, disk).
)";
}
