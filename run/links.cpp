#include "run/links.h"

#include <algorithm>
#include <cstddef>

#include "common/profile.h"  // defines: ProfileTimer
#include "run/ranks.h"       // defines: Transfers, rank, is_root, all_gather, broadcast

namespace {

// Floats that arrive on rank 0 in one round, from all senders together: 64 KiB, 256 KiB, 1 MiB, 4 MiB, and three times
// 16 MiB, beside which latencies do not count. Once the rounds have taken kEnough, no further one begins.
constexpr std::int64_t kFirst = 1 << 14, kGrowth = 4, kMost = 1 << 22;
constexpr int kRounds = 7;
constexpr double kEnough = 0.1;  // s; less, and a rank that was held up for a moment passes for a slow link

// Every sender sends that many floats to rank 0, all at once. Returns, on rank 0, what came from each group of ranks, by its leader.
std::vector<Link> send_round(const std::vector<std::int64_t>& leaders, const std::vector<int>& senders,
                             std::size_t floats, std::vector<float>& memory) {
  std::vector<Link> round(leaders.size(), Link{0, 0});
  ProfileTimer timer;
  Transfers transfers;
  if (is_root()) {
    if (memory.size() < floats * senders.size()) memory.resize(floats * senders.size());
    for (std::size_t i = 0; i < senders.size(); ++i) {
      Link& link = round[std::size_t(leaders[std::size_t(senders[i])])];
      transfers.receive(senders[i], 0, memory.data() + i * floats, floats, [&link, &timer, floats] {
        link.bytes += std::int64_t(floats * sizeof(float));
        link.nanoseconds = std::int64_t(timer.seconds() * 1e9);  // the group's last rank stays
      });
    }
  }
  const bool sends = leaders[std::size_t(rank())] != leaders[0];
  if (sends && memory.size() < floats) memory.resize(floats);
  all_gather(0);  // everybody is ready
  timer = ProfileTimer();
  if (sends) transfers.send(0, 0, memory.data(), floats);
  transfers.wait_all();
  return round;
}

}  // namespace

std::vector<Link> measure_links(const std::vector<std::int64_t>& leaders) {
  std::vector<Link> links(leaders.size(), Link{0, 0});
  std::vector<int> senders;
  for (std::size_t r = 0; r < leaders.size(); ++r) {
    if (leaders[r] != leaders[0]) senders.push_back(int(r));
  }
  if (senders.empty()) return links;

  // The first round opens connections, and buffers on the way swallow small ones at once: the largest tells what the
  // link carries, and of equally large ones the fastest, which was disturbed least.
  std::vector<float> memory;  // rank 0: (senders, floats); senders: (floats)
  Link best = {0, 0};         // from all nodes
  double spent = 0;           // s
  std::int64_t all = kFirst;
  for (int i = 0; all > 0; ++i) {
    const std::int64_t floats = std::max<std::int64_t>(1, all / std::int64_t(senders.size()));
    const std::vector<Link> round = send_round(leaders, senders, std::size_t(floats), memory);
    Link whole = {0, 0};
    for (const Link& link : round) {
      whole.bytes += link.bytes;
      whole.nanoseconds = std::max(whole.nanoseconds, link.nanoseconds);
    }
    if (i > 0) spent += double(whole.nanoseconds) * 1e-9;
    if (whole.bytes > best.bytes || whole.bytes_per_s() > best.bytes_per_s()) {
      best = whole;
      links = round;
    }
    const bool over = i + 1 == kRounds || spent > kEnough;
    all = broadcast(over ? 0 : std::min(all * kGrowth, kMost));  // rank 0 has seen the time
  }
  broadcast_bytes(links.data(), links.size() * sizeof(Link));
  for (std::size_t r = 0; r < leaders.size(); ++r) links[r] = links[std::size_t(leaders[r])];
  return links;
}
