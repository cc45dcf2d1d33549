#include "io/scratch_file.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "common/wording.h"
#include "io/transfer.h"

ScratchFile::ScratchFile() {
  const char* const folder = ::getenv("TMPDIR");
  std::string path = std::string(folder != nullptr && *folder != '\0' ? folder : "/tmp") + "/facegen.XXXXXX";
  name_ = "the scratch file " + quoted(path) + " (folder: $TMPDIR, else /tmp)";
  fd_ = ::mkstemp(&path[0]);
  if (fd_ < 0) throw cannot("write", name_, errno);
  ::unlink(path.c_str());
}

ScratchFile::~ScratchFile() { ::close(fd_); }

void ScratchFile::write_at(std::int64_t place, const void* data, std::size_t bytes) {
  write_all_at(fd_, place, data, bytes, name_);
}

void ScratchFile::read_at(std::int64_t place, void* data, std::size_t bytes) const {
  read_all_at(fd_, place, data, bytes, name_);
}
