// The list behind remove_unfinished_files().
#ifndef FACEGEN_IO_UNFINISHED_H_
#define FACEGEN_IO_UNFINISHED_H_

#include <string>

// Notes a file that is about to be made -> its place in the list, -1 where the list is full or the path too long.
int note_unfinished(const std::string& path);

// The file was finished or removed; -1 is allowed.
void forget_unfinished(int slot);

#endif  // FACEGEN_IO_UNFINISHED_H_
