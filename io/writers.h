// Files out: the faces as numbers and as a picture. A file appears under its name only when publish() is called
// (io/output_file.h). A Failure says which file and why: kUsage where the path cannot be written to, else kMachine.
#ifndef FACEGEN_IO_WRITERS_H_
#define FACEGEN_IO_WRITERS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "io/output_file.h"

class FaceWriter {
 public:
  // Numbers: .npy, else text ("%.4f " as C's printf gives it). "-" is standard output (text), "none" writes nothing.
  static std::unique_ptr<FaceWriter> open_data(const std::string& path, std::int64_t faces, int threads);
  // One square contact sheet: .png (where libpng was found), else .bmp. "-" is standard output (bmp), "none" nothing.
  static std::unique_ptr<FaceWriter> open_image(const std::string& path, std::int64_t faces, int threads);

  // Gives up what was written so far unless publish() was called.
  virtual ~FaceWriter() = default;

  // The next n faces, in order: faces (n, 64, 64, 3), not kept after the call.
  virtual void write(std::int64_t n, const float* faces) = 0;

  // Writes what is left. Called once, after all faces of open_*() have been written.
  virtual void finish() = 0;

  // Gives the finished file its name, in place of what has it now.
  virtual void publish() {}

  // Why publish() writes over the old file rather than replace it, as the end of a sentence; "" where it does not.
  virtual std::string irreplaceable() const { return ""; }
};

// The kinds behind open_*, with what they have in common: the file.
class FileWriter : public FaceWriter {
 public:
  void finish() override { file_.finish(); }
  void publish() final { file_.publish(); }
  std::string irreplaceable() const final { return file_.irreplaceable(); }

 protected:
  explicit FileWriter(const std::string& path, OutputFile::Order order = OutputFile::kInOrder) : file_(path, order) {}
  OutputFile file_;
};

std::unique_ptr<FaceWriter> open_text_faces(const std::string& path, std::int64_t faces, int threads);
std::unique_ptr<FaceWriter> open_npy_faces(const std::string& path, std::int64_t faces);
std::unique_ptr<FaceWriter> open_bmp_sheet(const std::string& path, std::int64_t faces, int threads);
std::unique_ptr<FaceWriter> open_png_sheet(const std::string& path, std::int64_t faces, int threads);

#endif  // FACEGEN_IO_WRITERS_H_
