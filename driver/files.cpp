#include "driver/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <tuple>
#include <vector>

#include "common/wording.h"
#include "io/paths.h"

namespace {

struct Name {
  const char* what;  // for sentences
  std::string path;
  bool output;
};

// On a terminal, into a pipe or /dev/null, nothing can spoil the lines that go there.
bool lines_go_to_a_file() {
  struct stat info;
  return ::fstat(STDOUT_FILENO, &info) == 0 && S_ISREG(info.st_mode);
}

std::vector<Name> names_of(const Options& options) {
  std::vector<Name> names = {{"the network", options.network, false}, {"the noise", options.noise, false}};
  if (options.data != "none") names.push_back({"the numbers", options.data, true});
  if (options.image != "none") names.push_back({"the picture", options.image, true});
  if (options.has_json) names.push_back({"the profile", options.json, true});
  return names;
}

// Endings that stand for formats that are written nowhere here.
constexpr const char* kForeign[] = {".jpg",  ".jpeg", ".gif",  ".tif",  ".tiff", ".webp",        ".svg",
                                    ".pdf",  ".ppm",  ".pgm",  ".heic", ".avif", ".jp2",         ".npz",
                                    ".csv",  ".tsv",  ".json", ".pt",   ".pth",  ".safetensors", ".h5",
                                    ".hdf5", ".mat",  ".gz",   ".xz",   ".bz2",  ".zst",         ".zip"};

// others: endings that stand for formats of the other output.
void check_ending(const std::string& path, std::vector<const char*> others, const std::string& there_is) {
  others.insert(others.end(), std::begin(kForeign), std::end(kForeign));
  for (const char* ending : others) {
    if (!has_ending(path, ending)) continue;
    throw Failure(kUsage, quoted(path) + " asks for a format that is not written here: there is " + there_is);
  }
}

// One file has one identity, whatever its names: device and inode; for a file that does not exist yet those of its
// folder, and its name there.
struct Identity {
  dev_t device = 0;
  ino_t inode = 0;
  std::string name;
  bool one_only = false;  // two uses of it would spoil each other: not so for /dev/null or a terminal
  bool operator==(const Identity& other) const {
    return one_only && std::tie(device, inode, name) == std::tie(other.device, other.inode, other.name);
  }
};

Identity identity(const Name& name) {
  struct stat info;
  const int standard = name.output ? STDOUT_FILENO : STDIN_FILENO;
  if ((name.path == "-" ? ::fstat(standard, &info) : ::stat(name.path.c_str(), &info)) == 0) {
    return {info.st_dev, info.st_ino, "", !S_ISCHR(info.st_mode) && !S_ISSOCK(info.st_mode) && !S_ISDIR(info.st_mode)};
  }
  const std::string path = follow_links(name.path);
  if (::stat(folder_of(path).c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, path.substr(path.rfind('/') + 1), true};
}

}  // namespace

void check_names(const Options& options) {
  std::string dash;
  for (const Name& name : names_of(options)) {
    if (name.path.empty()) throw Failure(kUsage, std::string(name.what) + " has an empty name");
    if (name.path != "-") continue;
    if (name.output && !dash.empty()) {
      throw Failure(kUsage, dash + " and " + name.what + " would both go to '-', standard output; name a file for one");
    }
    if (name.output) dash = name.what;
  }
  check_ending(options.data, {".bmp", ".png"}, "text (.txt or any other name), .npy, - or none for the numbers");
  check_ending(options.image, {".npy"}, ".bmp (or any other name), .png, - or none for the picture");
}

void check_one_file_each(const Options& options) {
  const std::string dash = "-";
  std::vector<Name> names = names_of(options);
  const auto is_dash = [&](const Name& name) { return name.output && name.path == dash; };
  if (lines_go_to_a_file() && std::none_of(names.begin(), names.end(), is_dash)) {
    names.insert(names.begin(), {"the lines on standard output", dash, true});
  }
  for (auto second = names.begin(); second != names.end(); ++second) {
    for (auto first = names.begin(); first != second; ++first) {
      if ((!first->output && !second->output) || !(identity(*first) == identity(*second))) continue;
      const Name &output = second->output ? *second : *first, &other = second->output ? *first : *second;
      const std::string same =
          first->path == second->path || other.path == dash ? "" : ", the same file as " + quoted(other.path);
      throw Failure(kUsage, (other.output ? std::string(other.what) + " and " + output.what + " would both go to "
                                          : std::string(output.what) + " would replace " + other.what + ", ") +
                                quoted(output.path) + same + "; name two files, or none for one" + kSeeHelp);
    }
  }
}
