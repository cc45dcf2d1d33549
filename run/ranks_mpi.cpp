// run/ranks.h over MPI.
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "common/failure.h"
#include "run/daemon.h"
#include "run/launch.h"
#include "run/ranks.h"

namespace {

// One MPI call moves at most 256 MiB: far below the 2^31 - 1 that an MPI count can say.
constexpr std::size_t kPieceBytes = std::size_t(1) << 28, kPiece = kPieceBytes / sizeof(float);

// This process' part in the job.
struct Job {
  MPI_Comm ours = MPI_COMM_NULL;  // what MPI_COMM_WORLD holds, for our messages alone; null in a job of one without MPI
  int rank = 0, count = 1;
  NodePlace node = {0, 1, 0};
  bool starting = false;                    // MPI_Init is under way
  int cpus = 0;                             // this rank's; 0: not known yet
  int daemon = 0;                           // of the launcher, above this process; 0: none
  std::shared_ptr<std::atomic<bool>> over;  // see notice_lost_hosts
};
Job g_job;

void check_mpi(int code, const char* call, const char* file, int line) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Failure(kMachine, std::string("MPI failed: ") + call + " at " + file + ":" + std::to_string(line) + ": " +
                              std::string(text, length));
}

#define MPI_CHECK(call) check_mpi((call), #call, __FILE__, __LINE__)

}  // namespace

// Defined in facegen_custom alone (custom_mpi.cpp), whose unit may speak MPI in a job of one as well.
extern "C" __attribute__((weak)) void facegen_unit_may_speak_mpi();

// Open MPI does not return from a start that fails: it says its reasons and calls _exit(1), which is this one here.
extern "C" void _exit(int status) {
  if (g_job.starting) {
    std::fputs("facegen: MPI could not be started; its reasons stand above\n", stderr);
    status = kMachine;
  }
  clean_up_behind(g_job.daemon);
  std::_Exit(status);
}

void ranks_start(int* argc, char*** argv) {
  const bool alone = !launched_with_mpi();  // a job of one needs no MPI
  if (!alone || facegen_unit_may_speak_mpi) {
    if (alone) setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);  // nor a daemon beside it
    int provided = 0;
    g_job.daemon = daemon_process();
    g_job.starting = true;
    MPI_CHECK(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided));
    g_job.starting = false;
  }
  if (!ranks_join()) g_job.cpus = shared_cpus();
  if (rank_count() > 1 && node_place().index == 0) g_job.over = notice_lost_hosts(g_job.daemon);
  if (rank_count() == 1 && launched_processes() > 1) {
    throw Failure(kUsage, "started as " + std::to_string(launched_processes()) +
                              " processes that do not know of each other: start them with mpirun, or srun --mpi=pmix");
  }
}

bool ranks_join() {
  int running = 0, over = 0;
  MPI_Initialized(&running);
  MPI_Finalized(&over);
  if (g_job.ours != MPI_COMM_NULL || !running || over) return false;

  g_job.daemon = daemon_process();
  MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &g_job.ours));
  MPI_CHECK(MPI_Comm_set_errhandler(g_job.ours, MPI_ERRORS_RETURN));
  MPI_CHECK(MPI_Comm_rank(g_job.ours, &g_job.rank));
  MPI_CHECK(MPI_Comm_size(g_job.ours, &g_job.count));

  MPI_Comm node;
  MPI_CHECK(MPI_Comm_split_type(g_job.ours, MPI_COMM_TYPE_SHARED, g_job.rank, MPI_INFO_NULL, &node));
  MPI_CHECK(MPI_Comm_rank(node, &g_job.node.index));
  MPI_CHECK(MPI_Comm_size(node, &g_job.node.count));
  g_job.node.leader = g_job.rank;
  MPI_CHECK(MPI_Bcast(&g_job.node.leader, 1, MPI_INT, 0, node));
  MPI_CHECK(MPI_Comm_free(&node));
  g_job.cpus = shared_cpus();
  return true;
}

void ranks_leave() {
  int over = 0;
  MPI_Finalized(&over);
  if (g_job.ours != MPI_COMM_NULL && !over) MPI_Comm_free(&g_job.ours);
  g_job = Job();
}

void ranks_finish() {
  if (g_job.ours == MPI_COMM_NULL) return;
  MPI_CHECK(MPI_Comm_free(&g_job.ours));
  MPI_CHECK(PMPI_Finalize());  // MPI's own: in facegen_custom MPI_Finalize is the unit's, and does nothing
  if (g_job.over) *g_job.over = true;
}

int granted_cpus() {
  if (g_job.cpus == 0) g_job.cpus = shared_cpus();  // of a driver that started no MPI
  return g_job.cpus;
}
int rank() { return g_job.rank; }
int rank_count() { return g_job.count; }
NodePlace node_place() { return g_job.node; }

void end_job(int status) {
  int running = 0, over = 0;
  MPI_Initialized(&running);
  MPI_Finalized(&over);
  clean_up_behind(g_job.daemon);
  if (g_job.count > 1 && running && !over) MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string version(text, length);
  return version.substr(0, version.find_first_of(",\n"));
}

std::int64_t broadcast(std::int64_t value) {
  broadcast_bytes(&value, sizeof value);
  return value;
}

void broadcast_bytes(void* data, std::size_t bytes, const std::function<void()>& meanwhile) {
  for (std::size_t first = 0; g_job.count > 1 && first < bytes; first += kPieceBytes) {
    const int piece = int(std::min(kPieceBytes, bytes - first));
    char* from = static_cast<char*>(data) + first;
    if (!meanwhile) {
      MPI_CHECK(MPI_Bcast(from, piece, MPI_BYTE, 0, g_job.ours));
      continue;
    }
    MPI_Request request;
    MPI_CHECK(MPI_Ibcast(from, piece, MPI_BYTE, 0, g_job.ours, &request));
    for (int done = 0; !done; meanwhile()) MPI_CHECK(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
  }
}

void all_gather_bytes(const void* mine, std::size_t bytes, void* all) {
  std::memcpy(static_cast<char*>(all) + std::size_t(g_job.rank) * bytes, mine, bytes);
  if (g_job.count == 1) return;
  MPI_CHECK(MPI_Allgather(MPI_IN_PLACE, 0, MPI_BYTE, all, int(bytes), MPI_BYTE, g_job.ours));
}

std::vector<std::string> gather(const std::string& text) {
  const std::vector<std::int64_t> sizes = all_gather(std::int64_t(text.size()));
  std::vector<std::string> texts;
  if (!is_root()) {
    MPI_CHECK(MPI_Send(text.data(), int(text.size()), MPI_CHAR, 0, 0, g_job.ours));
    return texts;
  }
  texts.push_back(text);
  for (int from = 1; from < g_job.count; ++from) {
    texts.emplace_back(std::size_t(sizes[from]), '\0');
    MPI_CHECK(MPI_Recv(texts.back().data(), int(sizes[from]), MPI_CHAR, from, 0, g_job.ours, MPI_STATUS_IGNORE));
  }
  return texts;
}

namespace ranks_detail {
struct Requests {
  std::vector<MPI_Request> request;
  std::vector<std::function<void()>> done;  // beside it; empty for all but the last piece of a transfer
};
}  // namespace ranks_detail

Transfers::Transfers() : requests_(new ranks_detail::Requests) {}
Transfers::~Transfers() { delete requests_; }
bool Transfers::empty() const { return requests_->request.empty(); }

// Pieces of one transfer share its tag: MPI keeps their order. The sender's last piece completing does not mean that
// the others have, so `done` counts them.
namespace {
// The largest id that MPI tells apart, as its tag.
std::int64_t last_id() {
  int* tag_ub = nullptr;
  int found = 0;
  MPI_CHECK(MPI_Comm_get_attr(g_job.ours, MPI_TAG_UB, &tag_ub, &found));
  return found ? *tag_ub : 32767;  // the least that the standard promises
}

template <typename Start>
void begin(ranks_detail::Requests& all, std::int64_t id, std::size_t count, std::function<void()> done, Start start) {
  if (id > last_id()) {
    throw Failure(kMachine, "MPI tells no more than " + std::to_string(last_id() + 1) +
                                " chunks of one rank apart: try a smaller --batch");
  }
  const std::size_t pieces = std::max<std::size_t>(1, (count + kPiece - 1) / kPiece);
  const auto left = std::make_shared<std::size_t>(pieces);
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    const std::size_t first = piece * kPiece;
    MPI_Request request;
    start(first, int(std::min(kPiece, count - first)), &request);
    all.request.push_back(request);
    all.done.push_back([left, done] {
      if (--*left == 0 && done) done();
    });
  }
}
}  // namespace

void Transfers::send(int to, std::int64_t id, const float* data, std::size_t count, std::function<void()> done) {
  begin(*requests_, id, count, std::move(done), [&](std::size_t first, int piece, MPI_Request* request) {
    MPI_CHECK(MPI_Isend(data + first, piece, MPI_FLOAT, to, int(id), g_job.ours, request));
  });
}

void Transfers::receive(int from, std::int64_t id, float* data, std::size_t count, std::function<void()> done) {
  begin(*requests_, id, count, std::move(done), [&](std::size_t first, int piece, MPI_Request* request) {
    MPI_CHECK(MPI_Irecv(data + first, piece, MPI_FLOAT, from, int(id), g_job.ours, request));
  });
}

void Transfers::poll() {
  auto& [request, done] = *requests_;
  if (request.empty()) return;
  std::vector<int> finished(request.size());
  int count = 0;
  MPI_CHECK(MPI_Testsome(int(request.size()), request.data(), &count, finished.data(), MPI_STATUSES_IGNORE));
  if (count == MPI_UNDEFINED) return;

  std::vector<std::function<void()>> ready;
  for (int i = 0; i < count; ++i) ready.push_back(std::move(done[finished[i]]));
  std::size_t kept = 0;
  for (std::size_t i = 0; i < request.size(); ++i) {
    if (request[i] == MPI_REQUEST_NULL) continue;
    request[kept] = request[i];
    done[kept++] = std::move(done[i]);
  }
  request.resize(kept);
  done.resize(kept);
  for (auto& call : ready) call();
}
