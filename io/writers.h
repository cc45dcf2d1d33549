// Files out: the faces as numbers and as a picture (SPEC 2). A file appears under its name only when it is complete: it
// is written under a temporary name beside the target, then renamed. Where the target is no regular file (/dev/full, a
// pipe) it is written directly. A Failure (kMachine) says which file and why.
#ifndef FACEGEN_IO_WRITERS_H_
#define FACEGEN_IO_WRITERS_H_

#include <cstdint>
#include <memory>
#include <string>

class FaceWriter {
 public:
  // Numbers: .npy, else text ("%.4f " as C's printf gives it). "-" is standard output (text), "none" writes nothing.
  static std::unique_ptr<FaceWriter> open_data(const std::string& path, std::int64_t faces, int threads);
  // One square contact sheet: .png (where libpng was found), else .bmp. "-" is standard output (bmp), "none" nothing.
  static std::unique_ptr<FaceWriter> open_image(const std::string& path, std::int64_t faces, int threads);

  // Gives up what was written so far unless finish() was called.
  virtual ~FaceWriter() = default;

  // The next n faces, in order: faces (n, 64, 64, 3), not kept after the call.
  virtual void write(std::int64_t n, const float* faces) = 0;

  // Writes what is left and gives the file its name. Called once, after all faces of open_*() have been written.
  virtual void finish() = 0;
};

// Removes the temporary files of every writer still open; safe in a signal handler. For the ways out that run no
// destructors: a signal, the end of the whole MPI job.
void remove_unfinished_files();

#endif  // FACEGEN_IO_WRITERS_H_
