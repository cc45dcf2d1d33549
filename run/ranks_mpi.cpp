// run/ranks.h over MPI.
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "common/failure.h"
#include "run/launch.h"
#include "run/ranks.h"

namespace {

// One MPI call moves at most this many floats (256 MiB): far below the 2^31 - 1 that an MPI count can say.
constexpr std::size_t kPiece = std::size_t(1) << 26;

int g_rank = launched_rank(), g_count = 1;
NodePlace g_node = {0, 1, 0};

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

void ranks_start(int* argc, char*** argv) {
  // A process that no launcher started is a job of its own: it needs no daemon beside it.
  const bool alone = !std::getenv("OMPI_COMM_WORLD_SIZE") && !std::getenv("PMIX_RANK");
  if (alone) setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);

  int provided = 0;
  MPI_CHECK(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided));
  MPI_CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  MPI_CHECK(MPI_Comm_rank(MPI_COMM_WORLD, &g_rank));
  MPI_CHECK(MPI_Comm_size(MPI_COMM_WORLD, &g_count));
  if (g_count == 1 && alone && launched_processes() > 1) {
    throw Failure(kUsage, "started as " + std::to_string(launched_processes()) +
                              " processes that do not know of each other: start them with mpirun, or srun --mpi=pmix");
  }

  MPI_Comm node;
  MPI_CHECK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, g_rank, MPI_INFO_NULL, &node));
  MPI_CHECK(MPI_Comm_rank(node, &g_node.index));
  MPI_CHECK(MPI_Comm_size(node, &g_node.count));
  g_node.leader = g_rank;
  MPI_CHECK(MPI_Bcast(&g_node.leader, 1, MPI_INT, 0, node));
  MPI_CHECK(MPI_Comm_free(&node));
  undo_default_binding();
}

void ranks_finish() { MPI_CHECK(MPI_Finalize()); }

int rank() { return g_rank; }
int rank_count() { return g_count; }
NodePlace node_place() { return g_node; }

void end_job(int status) {
  int running = 0, finished = 0;
  MPI_Initialized(&running);
  MPI_Finalized(&finished);
  if (g_count > 1 && running && !finished) MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string version(text, length);
  return version.substr(0, version.find_first_of(",\n"));
}

void broadcast(std::int64_t* values, std::size_t count) {
  MPI_CHECK(MPI_Bcast(values, int(count), MPI_INT64_T, 0, MPI_COMM_WORLD));
}

std::int64_t broadcast(std::int64_t value) {
  broadcast(&value, 1);
  return value;
}

void broadcast(float* data, std::size_t count) {
  for (std::size_t first = 0; first < count; first += kPiece) {
    MPI_CHECK(MPI_Bcast(data + first, int(std::min(kPiece, count - first)), MPI_FLOAT, 0, MPI_COMM_WORLD));
  }
}

std::vector<std::int64_t> all_gather(std::int64_t value) {
  std::vector<std::int64_t> values(g_count);
  MPI_CHECK(MPI_Allgather(&value, 1, MPI_INT64_T, values.data(), 1, MPI_INT64_T, MPI_COMM_WORLD));
  return values;
}

std::vector<std::string> gather(const std::string& text) {
  const std::vector<std::int64_t> sizes = all_gather(std::int64_t(text.size()));
  std::vector<std::string> texts;
  if (!is_root()) {
    MPI_CHECK(MPI_Send(text.data(), int(text.size()), MPI_CHAR, 0, 0, MPI_COMM_WORLD));
    return texts;
  }
  texts.push_back(text);
  for (int from = 1; from < g_count; ++from) {
    texts.emplace_back(std::size_t(sizes[from]), '\0');
    MPI_CHECK(MPI_Recv(texts.back().data(), int(sizes[from]), MPI_CHAR, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
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

std::int64_t Transfers::max_id() {
  int* tag_ub = nullptr;
  int found = 0;
  MPI_CHECK(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &tag_ub, &found));
  return found ? std::int64_t(*tag_ub) + 1 : 32768;  // the least that the standard promises
}

// Pieces of one transfer share its tag: MPI keeps their order. The sender's last piece completing does not mean that
// the others have, so `done` counts them.
namespace {
template <typename Start>
void begin(ranks_detail::Requests& all, std::size_t count, std::function<void()> done, Start start) {
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
  begin(*requests_, count, std::move(done), [&](std::size_t first, int piece, MPI_Request* request) {
    MPI_CHECK(MPI_Isend(data + first, piece, MPI_FLOAT, to, int(id), MPI_COMM_WORLD, request));
  });
}

void Transfers::receive(int from, std::int64_t id, float* data, std::size_t count, std::function<void()> done) {
  begin(*requests_, count, std::move(done), [&](std::size_t first, int piece, MPI_Request* request) {
    MPI_CHECK(MPI_Irecv(data + first, piece, MPI_FLOAT, from, int(id), MPI_COMM_WORLD, request));
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
