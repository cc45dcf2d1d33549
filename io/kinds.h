// The kinds of files behind FaceWriter::open_*; which one goes by the path's ending.
#ifndef FACEGEN_IO_KINDS_H_
#define FACEGEN_IO_KINDS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "io/writers.h"

std::unique_ptr<FaceWriter> open_text_faces(const std::string& path, std::int64_t faces, int threads);
std::unique_ptr<FaceWriter> open_npy_faces(const std::string& path, std::int64_t faces);
std::unique_ptr<FaceWriter> open_bmp_sheet(const std::string& path, std::int64_t faces, int threads);
std::unique_ptr<FaceWriter> open_png_sheet(const std::string& path, std::int64_t faces, int threads);

#endif  // FACEGEN_IO_KINDS_H_
