// The kinds of files behind NoiseReader::open and FaceWriter::open_*; which one goes by the path's ending.
#ifndef FACEGEN_IO_KINDS_H_
#define FACEGEN_IO_KINDS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "io/readers.h"
#include "io/writers.h"

// Whether the path ends in `ending` (lower case), in capitals or not.
bool has_ending(const std::string& path, const std::string& ending);

std::unique_ptr<NoiseReader> open_text_noise(const std::string& path, int threads);
std::unique_ptr<NoiseReader> open_npy_noise(const std::string& path);

std::unique_ptr<FaceWriter> open_text_faces(const std::string& path, std::int64_t faces, int threads);
std::unique_ptr<FaceWriter> open_npy_faces(const std::string& path, std::int64_t faces);
std::unique_ptr<FaceWriter> open_bmp_sheet(const std::string& path, std::int64_t faces, int threads);
std::unique_ptr<FaceWriter> open_png_sheet(const std::string& path, std::int64_t faces, int threads);

#endif  // FACEGEN_IO_KINDS_H_
