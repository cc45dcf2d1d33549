// The temporary names of files that are not complete, for the ways out that run no destructors.
#ifndef FACEGEN_IO_UNFINISHED_H_
#define FACEGEN_IO_UNFINISHED_H_

#include <string>

// Notes a file that is about to be made -> its place in the list, -1 where the list is full or the path too long.
int note_unfinished(const std::string& path);

// The file was finished or removed; -1 is allowed.
void forget_unfinished(int slot);

// Removes every file of the list; safe in a signal handler.
void remove_unfinished_files();

#endif  // FACEGEN_IO_UNFINISHED_H_
