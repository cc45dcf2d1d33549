// The command line: whatever is typed, options that make sense or a sentence about wrong usage. An input is the words of a
// line, each ended by a zero byte.
#include <getopt.h>

#include "common/failure.h"
#include "driver/options.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string line(reinterpret_cast<const char*>(data), size);
  line += '\0';
  std::vector<char*> words;
  for (std::size_t at = 0; at < line.size(); at = line.find('\0', at) + 1) words.push_back(&line[at]);
  words.push_back(nullptr);
  optind = 0;  // getopt begins anew
  try {
    const Options options = parse_options(static_cast<int>(words.size()) - 1, words.data());
    require(options.program.find('/') == std::string::npos, "a name without folders");
    if (options.help || options.version) return 0;
    require(options.threads >= 0 && options.threads <= 65536, "threads");
    require(options.batch >= 0 && options.batch <= 1 << 30, "batch");
    const bool list = options.devices.find_first_not_of("0123456789,") == std::string::npos;
    require(list || options.devices == "all" || options.devices == "none", "devices");
  } catch (const Failure& failure) {
    require(failure.status() == kUsage && printable(failure.what()) == failure.what(), failure.what());
  }
  return 0;
}
