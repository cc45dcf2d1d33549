// Paths of files that may not exist yet.
#ifndef FACEGEN_IO_PATHS_H_
#define FACEGEN_IO_PATHS_H_

#include <string>

// "a/b/c" -> "a/b/", "c" -> "./".
std::string folder_of(const std::string& path);

// The file that a path leads to through symbolic links, whether it exists or not.
std::string follow_links(std::string path);

#endif  // FACEGEN_IO_PATHS_H_
