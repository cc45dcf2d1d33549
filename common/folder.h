// What lies in a folder.
#ifndef FACEGEN_COMMON_FOLDER_H_
#define FACEGEN_COMMON_FOLDER_H_

#include <string>
#include <vector>

// The names in a folder, as many as can be read; none where there is no such folder. Why not std::filesystem: its loop throws
// when a folder vanishes meanwhile, as /proc/PID does, and ends the program where it gets no memory.
std::vector<std::string> names_in(const std::string& folder);

#endif  // FACEGEN_COMMON_FOLDER_H_
