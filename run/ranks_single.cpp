// run/ranks.h without MPI: a job of one rank.
#include <cstdlib>
#include <cstring>

#include "common/failure.h"
#include "run/launch.h"
#include "run/ranks.h"

void ranks_start(int*, char***) {
  if (launched_processes() > 1) {
    throw Failure(kUsage, "started as " + std::to_string(launched_processes()) +
                              " processes, but this program was built without MPI: start it as one");
  }
  shared_cpus();
}
void ranks_finish() {}
bool ranks_join() { return false; }
void ranks_leave() {}
int granted_cpus() { return shared_cpus(); }
int rank() { return 0; }
int rank_count() { return 1; }
NodePlace node_place() { return {0, 1, 0}; }
void end_job(int status) { std::_Exit(status); }
std::string mpi_library() { return ""; }
std::int64_t broadcast(std::int64_t value) { return value; }
void broadcast_bytes(void*, std::size_t, const std::function<void()>&) {}
void all_gather_bytes(const void* mine, std::size_t bytes, void* all) { std::memcpy(all, mine, bytes); }
std::vector<std::string> gather(const std::string& text) { return {text}; }

// In a job of one rank nothing is ever under way.
Transfers::Transfers() : requests_(nullptr) {}
Transfers::~Transfers() = default;
void Transfers::send(int, std::int64_t, const float*, std::size_t, std::function<void()>) {}
void Transfers::receive(int, std::int64_t, float*, std::size_t, std::function<void()>) {}
void Transfers::poll() {}
bool Transfers::empty() const { return requests_ == nullptr; }
