// The header of NumPy's .npy files: "\x93NUMPY", version, length, then a Python dict with descr, fortran_order, shape.
#ifndef FACEGEN_IO_NPY_H_
#define FACEGEN_IO_NPY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "io/input_file.h"

// Reads the header of a little-endian float32 array in C order, or in one that makes no difference -> its shape; the
// values follow in the file. Takes every spelling that numpy.load takes. Throws Failure (kBadInput) for any other array
// or file, saying what was found.
std::vector<std::int64_t> read_npy_header(InputFile& file);

// The header that numpy.save writes for such an array.
std::string make_npy_header(const std::vector<std::int64_t>& shape);

// (10, 64, 64, 3)
std::string shape_text(const std::vector<std::int64_t>& shape);

#endif  // FACEGEN_IO_NPY_H_
