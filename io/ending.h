// A file's kind goes by its ending.
#ifndef FACEGEN_IO_ENDING_H_
#define FACEGEN_IO_ENDING_H_

#include <cstddef>
#include <string_view>

// Whether the path ends in `ending` (lower case), in capitals or not; the same in every locale.
inline bool has_ending(std::string_view path, std::string_view ending) {
  if (path.size() < ending.size()) return false;
  path.remove_prefix(path.size() - ending.size());
  for (std::size_t i = 0; i < ending.size(); ++i) {
    const char lower = path[i] >= 'A' && path[i] <= 'Z' ? static_cast<char>(path[i] - 'A' + 'a') : path[i];
    if (lower != ending[i]) return false;
  }
  return true;
}

#endif  // FACEGEN_IO_ENDING_H_
