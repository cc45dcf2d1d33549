// Reads and writes that signals do not interrupt; writes go on until everything is done. Each throws Failure (kMachine), which calls the file `name`.
#ifndef FACEGEN_IO_TRANSFER_H_
#define FACEGEN_IO_TRANSFER_H_

#include <cstddef>
#include <cstdint>
#include <string>

void write_all(int fd, const void* data, std::size_t bytes, const std::string& name);
void write_all_at(int fd, std::int64_t place, const void* data, std::size_t bytes, const std::string& name);

// Reads what there is, at most `bytes` bytes -> how many; 0 at the end.
std::size_t read_some_at(int fd, std::int64_t place, void* data, std::size_t bytes, const std::string& name);

#endif  // FACEGEN_IO_TRANSFER_H_
