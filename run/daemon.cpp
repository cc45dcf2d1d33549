#include "run/daemon.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "run/launch.h"  // defines: launched_rank, process_ended

namespace {

// Has a connection to another host break when nothing has come through it for half a minute.
void keep_alive(int socket) {
  sockaddr_storage peer = {};
  socklen_t size = sizeof peer;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return;
  if (peer.ss_family != AF_INET && peer.ss_family != AF_INET6) return;
  const auto set = [socket](int level, int option, int value) {
    setsockopt(socket, level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);         // s; then a question
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);         // every 5 s,
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);           // and after four without an answer the end
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 30000);  // ms; the same for what was sent
}

}  // namespace

void notice_lost_hosts(int process) {
#ifdef SYS_pidfd_getfd
  if (process == 0 || std::getenv("OMPI_MCA_oob_tcp_keepalive_time")) return;
  const int daemon = int(syscall(SYS_pidfd_open, process, 0));
  std::error_code none;
  for (const auto& file : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/fd", none)) {
    const int copy = int(syscall(SYS_pidfd_getfd, daemon, std::atoi(file.path().filename().c_str()), 0));
    if (copy < 0) continue;
    keep_alive(copy);
    close(copy);
  }
  close(daemon);
#endif
}

void clean_up_behind(int process) {
  if (process == 0 || !process_ended(process)) return;
  std::error_code none;
  const char* variable = std::getenv("PMIX_SERVER_TMPDIR");
  const std::filesystem::path folder = variable ? variable : "";
  if (folder.filename() == "pid." + std::to_string(process)) {
    for (int i = 0; i < 10 && std::filesystem::exists(folder, none); ++i) {  // others remove it, too
      std::filesystem::remove_all(folder, none);
    }
    std::filesystem::remove(folder.parent_path(), none);  // unless it holds those of other jobs
  }

  const char* job = std::getenv("PMIX_NAMESPACE");
  char mine[32];  // JOB.RANK, at the end of the name
  std::snprintf(mine, sizeof mine, ".%lx.%d", job ? std::strtoul(job, nullptr, 10) : 0, launched_rank());
  for (const auto& file : std::filesystem::directory_iterator("/dev/shm", none)) {
    const std::string name = file.path().filename();
    const std::size_t end = name.size() - std::min(name.size(), std::strlen(mine));
    if (name.find("_segment.") != name.npos && name.compare(end, name.npos, mine) == 0) {
      std::filesystem::remove(file.path(), none);
    }
  }
}
