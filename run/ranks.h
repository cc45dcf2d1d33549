// The ranks of one job: MPI behind a few verbs (ranks_mpi.cpp), so that without MPI (a build with MPI=0, facegen_seq, a
// process that nobody launched) there is simply a job of one rank. All messages of ours go over a communicator of our
// own: they never meet those of somebody else's code in this program, and only there a failed call throws Failure, which
// ends the whole job; elsewhere MPI's errors keep MPI's own way.
#ifndef FACEGEN_RUN_RANKS_H_
#define FACEGEN_RUN_RANKS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

namespace ranks_detail {
struct Requests;  // the MPI requests of a Transfers
}

// ---- The job

// Our driver's first and last call on every rank: start MPI where a launcher started several processes, and end it.
void ranks_start(int* argc, char*** argv);
void ranks_finish();

// Takes part in the job that this program's MPI makes up, if its driver has started MPI, as one rank of it; collective
// then. Returns false where this process takes part already: ranks_start does this, too. Else ranks_leave undoes it.
bool ranks_join();
void ranks_leave();

int rank();  // 0 outside of a job, and in a job of one
int rank_count();
inline bool is_root() { return rank() == 0; }

// "rank 1 on n2", or "" in a job of one rank: how an error sentence says where.
std::string rank_place();

// Ends every rank of the job at once with this exit status; the caller has said why.
[[noreturn]] void end_job(int status);

// This rank's place among the ranks that share its node (and so its GPUs and cores).
struct NodePlace {
  int index, count;
  int leader;  // the rank that is first on the node: the same number on all ranks of one node, and on no others
};
NodePlace node_place();

// Collective: takes back the CPUs that mpirun keeps away from its ranks by default, and shares each CPU out among the
// ranks of its node that may run on it. Returns this rank's part, which granted_cpus() gives from then on.
int shared_cpus();
int granted_cpus();

// How many threads this rank should have: its part of the CPUs and of the control group's quota, and no more than
// OpenMP's and the scheduler's variables say.
int usable_cpus();

// What MPI library was built in: "Open MPI 4.1.4", or "" where none was.
std::string mpi_library();

// ---- Collective: every rank calls them in the same order

std::int64_t broadcast(std::int64_t value);  // root's value
// Root's bytes, any number -> everybody's. meanwhile, if given, is called again and again while they are under way.
void broadcast_bytes(void* data, std::size_t bytes, const std::function<void()>& meanwhile = {});
void all_gather_bytes(const void* mine, std::size_t bytes, void* all);  // few bytes a rank, by rank
std::vector<std::string> gather(const std::string& text);  // on root: everybody's text, by rank; elsewhere nothing

// Everybody's value, by rank. T holds plain data.
template <typename T>
std::vector<T> all_gather(const T& value) {
  static_assert(std::is_trivially_copyable<T>::value, "goes from process to process as bytes");
  std::vector<T> values(static_cast<std::size_t>(rank_count()));
  all_gather_bytes(&value, sizeof value, values.data());
  return values;
}

// ---- Between two ranks, under way while others compute

class Transfers {
 public:
  Transfers();
  ~Transfers();
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  // Begins to move data (count floats, any count) to or from a rank; data stays untouched until done was called.
  // Both ends name the same id (>= 0) for the same data. A count of 0 moves a message without data: it
  // tells the receiver that the sender got there.
  void send(int to, std::int64_t id, const float* data, std::size_t count, std::function<void()> done = {});
  void receive(int from, std::int64_t id, float* data, std::size_t count, std::function<void()> done = {});

  // Moves on what can move on now and calls done for what is complete. Never waits.
  void poll();
  bool empty() const;  // nothing under way
  void wait_all();

 private:
  ranks_detail::Requests* requests_;
};

#endif  // FACEGEN_RUN_RANKS_H_
