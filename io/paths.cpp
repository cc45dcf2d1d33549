#include "io/paths.h"

#include <unistd.h>

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "./" : path.substr(0, slash + 1);
}

std::string follow_links(std::string path) {
  for (int links = 0; links < 40; ++links) {  // as many as Linux follows
    char to[4096];
    const ssize_t length = ::readlink(path.c_str(), to, sizeof to);
    if (length < 0) break;
    const std::string next(to, static_cast<std::size_t>(length));
    path = next[0] == '/' ? next : folder_of(path) + next;
  }
  return path;
}

bool has_ending(std::string_view path, std::string_view ending) {
  if (path.size() < ending.size()) return false;
  path.remove_prefix(path.size() - ending.size());
  for (std::size_t i = 0; i < ending.size(); ++i) {
    const char lower = path[i] >= 'A' && path[i] <= 'Z' ? static_cast<char>(path[i] - 'A' + 'a') : path[i];
    if (lower != ending[i]) return false;
  }
  return true;
}
