// Paths of files, which may not exist yet: their folders, links, endings.
#ifndef FACEGEN_IO_PATHS_H_
#define FACEGEN_IO_PATHS_H_

#include <string>
#include <string_view>

// "a/b/c" -> "a/b/", "c" -> "./".
std::string folder_of(const std::string& path);

// The file that a path leads to through symbolic links, whether it exists or not.
std::string follow_links(std::string path);

// Whether the path ends in `ending` (lower case), in capitals or not; the same in every locale.
bool has_ending(std::string_view path, std::string_view ending);

#endif  // FACEGEN_IO_PATHS_H_
