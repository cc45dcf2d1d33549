// The command line.
#ifndef FACEGEN_DRIVER_OPTIONS_H_
#define FACEGEN_DRIVER_OPTIONS_H_

#include <cstdint>
#include <string>

constexpr const char* kVersion = "1.2.0";
constexpr const char* kSeeHelp = "; see --help";

struct Options {
  std::string program;  // as it was called, without folders
  std::string network, noise, data, image;
  std::string devices;     // empty: not given
  int threads = 0;         // 0: not given
  std::int64_t batch = 0;  // 0: not given
  bool profile = false;
  bool has_json = false;
  std::string json;  // file
  bool quiet = false;
  bool help = false, version = false;
};

// Throws Failure (kUsage) where the line makes no sense.
Options parse_options(int argc, char** argv);

// The text of --help.
std::string help_text(const std::string& program);

#endif  // FACEGEN_DRIVER_OPTIONS_H_
