// The ranks of one job: MPI behind a few verbs (ranks_mpi.cpp), so that a build without MPI (MPI=0, facegen_seq) is
// simply a job of one rank (ranks_single.cpp). Errors end the whole job: a failed MPI call throws Failure, and main()
// turns any Failure into end_job().
#ifndef FACEGEN_RUN_RANKS_H_
#define FACEGEN_RUN_RANKS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ranks_detail {
struct Requests;  // the MPI requests of a Transfers
}

// ---- The job

// First and last call of every rank.
void ranks_start(int* argc, char*** argv);
void ranks_finish();

int rank();  // before ranks_start: what the launcher said
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

// CPUs that this rank may use: its fair part of the node's where ranks share one.
int usable_cpus();

// What MPI library was built in: "Open MPI 4.1.4", or "" where none was.
std::string mpi_library();

// ---- Collective: every rank calls them in the same order

std::int64_t broadcast(std::int64_t value);                // root's value
void broadcast(std::int64_t* values, std::size_t count);   // root's values (count), few -> everybody's
void broadcast(float* data, std::size_t count);            // root's data (count) -> everybody's; any count
std::vector<std::int64_t> all_gather(std::int64_t value);  // everybody's value, by rank
std::vector<std::string> gather(const std::string& text);  // on root: everybody's text, by rank; elsewhere nothing

// ---- Between two ranks, under way while others compute

class Transfers {
 public:
  Transfers();
  ~Transfers();
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  // Begins to move data (count floats, any count) to or from a rank; data stays untouched until done was called.
  // Both ends name the same id (>= 0, < max_id()) for the same data. A count of 0 moves a message without data: it
  // tells the receiver that the sender got there.
  void send(int to, std::int64_t id, const float* data, std::size_t count, std::function<void()> done = {});
  void receive(int from, std::int64_t id, float* data, std::size_t count, std::function<void()> done = {});

  // Moves on what can move on now and calls done for what is complete. Never waits.
  void poll();
  bool empty() const;  // nothing under way
  void wait_all();

  static std::int64_t max_id();

 private:
  ranks_detail::Requests* requests_;
};

#endif  // FACEGEN_RUN_RANKS_H_
