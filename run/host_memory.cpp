#include "run/host_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <random>
#include <string>
#include <vector>

namespace {

// Memory for others is a file that has no place in any file system: nothing stays behind however its processes end, and
// no limit of /dev/shm holds. Another process opens it through /proc.
std::string file_name(std::int64_t name) { return "facegen-" + std::to_string(name); }

std::string link_target(const std::string& path) {
  char target[256];
  const ssize_t length = readlink(path.c_str(), target, sizeof target);
  return std::string(target, length > 0 ? std::size_t(length) : 0);
}

// All pages into this process' page table, large ones where the system has them: a first touch during the run costs as
// much as the copying of a page. Zeroing is most of the work: several threads share it. Best effort, as older kernels
// cannot.
void touch_pages(void* data, std::size_t bytes) {
  madvise(data, bytes, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
  constexpr std::size_t kPiece = std::size_t(256) << 20;
  std::vector<std::future<int>> pieces;
  for (std::size_t first = 0; first < bytes; first += kPiece) {
    pieces.push_back(
        std::async(madvise, static_cast<char*>(data) + first, std::min(kPiece, bytes - first), MADV_POPULATE_WRITE));
  }
#endif
}

}  // namespace

std::unique_ptr<HostMemory> HostMemory::map(int file, std::size_t bytes, std::int64_t name) {
  const int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
  if (data != MAP_FAILED) return std::unique_ptr<HostMemory>(new HostMemory(data, bytes, file, name));
  if (file >= 0) close(file);
  return nullptr;
}

std::unique_ptr<HostMemory> HostMemory::make(std::size_t bytes, NumaNodes nodes, bool for_others) {
  std::random_device random;
  const std::int64_t name = (std::int64_t(random() >> 1) << 32) | random();
  const int file = for_others ? memfd_create(file_name(name).c_str(), MFD_CLOEXEC) : -1;
  if (for_others && file < 0) return nullptr;
  std::unique_ptr<HostMemory> memory = map(file, bytes, name);
  if (!memory) return nullptr;
  place_pages(memory->data_, bytes, nodes);  // where the kernel would not: memory as it comes
  // Why: a page of a file that cannot be had later on would be a SIGBUS in the middle of the run.
  if (for_others && posix_fallocate(file, 0, off_t(bytes)) != 0) return nullptr;
  touch_pages(memory->data_, bytes);
  return memory;
}

std::unique_ptr<HostMemory> HostMemory::open(const Ticket& ticket) {
  const std::string path = "/proc/" + std::to_string(ticket.process) + "/fd/" + std::to_string(ticket.file);
  // Why: in a container that process number may be another process.
  if (link_target(path) != "/memfd:" + file_name(ticket.name) + " (deleted)") return nullptr;
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return nullptr;
  std::unique_ptr<HostMemory> memory = map(file, std::size_t(ticket.bytes), ticket.name);
  if (memory) touch_pages(memory->data_, memory->bytes_);
  return memory;
}

HostMemory::~HostMemory() {
  munmap(data_, bytes_);
  if (file_ >= 0) close(file_);
}

HostMemory::Ticket HostMemory::ticket() const { return {getpid(), file_, name_, std::int64_t(bytes_)}; }
