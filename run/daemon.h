// The launcher's daemon above this process (mpirun itself, or the one that it started on this node): what it leaves undone
// where a part of the job is lost. process: its number, as daemon_process() of run/launch.h tells it; 0: there is none.
#ifndef FACEGEN_RUN_DAEMON_H_
#define FACEGEN_RUN_DAEMON_H_

#include <atomic>
#include <memory>

// Daemons hold a job together: when the connection between two of them breaks, both end their ranks. A cable that is pulled
// or a host that stops breaks none; nothing comes any longer, and they would wait for eight minutes (Open MPI's
// oob_tcp_keepalive_time and the like, which stay where a user has set them) or for ever. After this a thread of ours looks
// at the daemon's connections and at those of this process: where another host's kernel has answered nothing for 25 s, the
// thread throws Failure, which ends the job (std::terminate); where that is not enough, the connections break after 30 s. A
// rank that is stopped or waits loses nothing by it: its kernel answers. Best effort: a system may keep processes apart.
// Returns what is to be set when the job is over, and hosts may go.
std::shared_ptr<std::atomic<bool>> notice_lost_hosts(int process);

// A daemon cleans up behind its ranks. One that was killed cannot: its ranks, which end for that reason, take away its
// folder, and each its own part of MPI's shared memory. Does nothing as long as the daemon is there.
void clean_up_behind(int process);

#endif  // FACEGEN_RUN_DAEMON_H_
