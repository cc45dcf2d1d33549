#include "run/daemon.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>

#include "common/failure.h"
#include "common/folder.h"
#include "run/launch.h"  // defines: launched_rank, process_ended

namespace {

constexpr int kBreak = 30;  // s without an answer after which a connection breaks,
constexpr int kSay = 25;    // and after which we say so, before the daemon does

// Has a connection to another host break when nothing has come through it for kBreak -> that host's address where
// nothing has come for kSay, else "". What the launcher still sends there to end the job then breaks it soon, but not at
// once: the launcher is to hear first that we end the job. (Times for questions, when set, have the kernel ask at once.)
std::string watch(int socket) {
  sockaddr_storage peer = {};
  socklen_t size = sizeof peer;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return "";
  if (peer.ss_family != AF_INET && peer.ss_family != AF_INET6) return "";
  tcp_info info = {};
  socklen_t info_size = sizeof info;
  const bool silent = getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &info_size) == 0 &&
                      info.tcpi_state == TCP_ESTABLISHED && info.tcpi_last_ack_recv > kSay * 1000;
  const auto set = [socket](int level, int option, int value) {
    setsockopt(socket, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, (silent ? 3 : kBreak) * 1000);  // ms, for what was sent
  if (!silent) {
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 10);                // s; then a question, which a kernel answers,
    set(IPPROTO_TCP, TCP_KEEPINTVL, 5);                // every 5 s,
    set(IPPROTO_TCP, TCP_KEEPCNT, (kBreak - 10) / 5);  // until it breaks
  }
  char address[NI_MAXHOST] = "?";
  getnameinfo(reinterpret_cast<sockaddr*>(&peer), size, address, sizeof address, nullptr, 0, NI_NUMERICHOST);
  return silent ? address : "";
}

// The sockets of a process.
std::string watch_all_of(pid_t process) {
  std::string silent;
  const int descriptor = int(syscall(SYS_pidfd_open, process, 0));
  for (const std::string& number : names_in("/proc/" + std::to_string(process) + "/fd")) {
    const int copy = int(syscall(SYS_pidfd_getfd, descriptor, std::atoi(number.c_str()), 0));
    if (copy < 0) continue;
    silent = std::max(silent, watch(copy));
    close(copy);
  }
  close(descriptor);
  return silent;
}

}  // namespace

std::shared_ptr<std::atomic<bool>> notice_lost_hosts(int process) {
  const auto over = std::make_shared<std::atomic<bool>>(false);
#ifdef SYS_pidfd_getfd
  if (std::getenv("OMPI_MCA_oob_tcp_keepalive_time")) return over;
  const auto look = [process, over] {
    for (; !*over; std::this_thread::sleep_for(std::chrono::seconds(1))) {
      const std::string silent = std::max(process ? watch_all_of(process) : "", watch_all_of(getpid()));
      if (silent.empty() || *over) continue;
      throw Failure(kMachine,
                    "the host at " + silent + " has answered nothing for " + std::to_string(kSay) +
                        " s, so the job ends: its network link was cut, or it stopped; mend that, or do without it");
    }
  };
  try {
    std::thread(look).detach();
  } catch (const std::system_error&) {  // no thread to be had
  }
#endif
  return over;
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
  for (const std::string& name : names_in("/dev/shm")) {
    const std::size_t end = name.size() - std::min(name.size(), std::strlen(mine));
    if (name.find("_segment.") != name.npos && name.compare(end, name.npos, mine) == 0) {
      std::filesystem::remove("/dev/shm/" + name, none);
    }
  }
}
