// An open file that closes itself.
#ifndef FACEGEN_IO_DESCRIPTOR_H_
#define FACEGEN_IO_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_;
};

#endif  // FACEGEN_IO_DESCRIPTOR_H_
