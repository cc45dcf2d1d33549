// What the writers of files have in common: the file.
#ifndef FACEGEN_IO_FILE_WRITER_H_
#define FACEGEN_IO_FILE_WRITER_H_

#include <string>

#include "io/output_file.h"
#include "io/writers.h"

class FileWriter : public FaceWriter {
 public:
  void finish() override { file_.finish(); }
  void publish() final { file_.publish(); }
  std::string irreplaceable() const final { return file_.irreplaceable(); }

 protected:
  explicit FileWriter(const std::string& path, OutputFile::Order order = OutputFile::kInOrder) : file_(path, order) {}
  OutputFile file_;
};

#endif  // FACEGEN_IO_FILE_WRITER_H_
