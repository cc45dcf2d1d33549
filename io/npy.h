// The header of NumPy's .npy files.
#ifndef FACEGEN_IO_NPY_H_
#define FACEGEN_IO_NPY_H_

#include <cstdint>
#include <string>
#include <vector>

// What numpy.save writes in front of an array of little-endian float32.
std::string make_npy_header(const std::vector<std::int64_t>& shape);

#endif  // FACEGEN_IO_NPY_H_
