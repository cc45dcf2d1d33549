// Two ranks move more floats than one MPI call may say: every verb of run/ranks.h across its pieces. Run by
// test_mpi.py under mpirun -n 2; exits 0 where every value arrived in its place.
#include <cstdio>
#include <numeric>
#include <vector>

#include "common/failure.h"
#include "run/ranks.h"

namespace {

constexpr std::size_t kCount = (std::size_t(1) << 26) + 12345;  // one piece of 256 MiB, and a little

float value(std::size_t i, int which) { return float((i * 7 + std::size_t(which)) % 1000003); }

int wrong(const std::vector<float>& data, int which) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (data[i] != value(i, which)) {
      std::fprintf(stderr, "rank %d, transfer %d: value %zu is wrong\n", rank(), which, i);
      return 1;
    }
  }
  return 0;
}

int run() {
  std::vector<float> data(kCount);
  const auto fill = [&](int which) {
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = value(i, which);
  };
  int failures = 0;

  if (is_root()) fill(1);
  broadcast_bytes(data.data(), data.size() * sizeof(float));
  failures += wrong(data, 1);

  // Two at a time with their own ids, the later one started first on the other side; and an empty one.
  Transfers transfers;
  int done = 0;
  const auto count = [&done] { ++done; };
  std::vector<float> small(1000);
  if (is_root()) {
    std::fill(data.begin(), data.end(), -1.0f);
    transfers.receive(1, 0, data.data(), data.size(), count);
    transfers.receive(1, 1, small.data(), small.size(), count);
    transfers.receive(1, 2, small.data(), 0, count);
  } else {
    fill(2);
    for (std::size_t i = 0; i < small.size(); ++i) small[i] = value(i, 3);
    transfers.send(0, 1, small.data(), small.size(), count);
    transfers.send(0, 0, data.data(), data.size(), count);
    transfers.send(0, 2, small.data(), 0, count);
  }
  transfers.wait_all();
  failures += wrong(data, 2) + wrong(small, 3) + (done != 3) + !transfers.empty();

  const std::vector<std::string> texts = gather(std::string(std::size_t(rank()) * 3, 'x'));
  if (is_root()) failures += texts != std::vector<std::string>{"", "xxx"};
  failures += all_gather(rank() + 10) != std::vector<int>{10, 11};
  failures += broadcast(std::int64_t(rank() + 5) << 40) != std::int64_t(5) << 40;
  return failures;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    ranks_start(&argc, &argv);
    const int failures = run();
    ranks_finish();
    return failures ? 1 : 0;
  } catch (const Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    end_job(failure.status());
  }
}
