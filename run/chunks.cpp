#include "run/chunks.h"

#include <algorithm>
#include <cstddef>

std::vector<std::vector<int>> assign_gpus(const std::vector<RankGpus>& ranks) {
  // GPU by GPU, to the rank that sees it and has the fewest so far.
  std::vector<std::vector<int>> mine(ranks.size());
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    for (std::size_t g = 0; g < ranks[r].id.size(); ++g) {
      std::size_t best = ranks.size();  // the rank that takes it
      int place = 0;                    // and the place in that rank's list
      bool first_sight = true;
      for (std::size_t other = 0; other < ranks.size() && first_sight; ++other) {
        if (ranks[other].node != ranks[r].node) continue;
        for (std::size_t p = 0; p < ranks[other].id.size(); ++p) {
          if (ranks[other].id[p] != ranks[r].id[g]) continue;
          if (other < r || (other == r && p < g)) first_sight = false;
          if (best == ranks.size() || mine[other].size() < mine[best].size()) best = other, place = int(p);
          break;
        }
      }
      if (first_sight) mine[best].push_back(place);
    }
  }
  return mine;
}

std::vector<std::int64_t> cap_by_links(const std::vector<std::int64_t>& speeds, const std::vector<std::int64_t>& nodes,
                                       const std::vector<double>& link_faces_per_s) {
  std::vector<std::int64_t> capped = speeds;
  for (std::size_t r = 0; r < speeds.size(); ++r) {
    if (nodes[r] == nodes[0] || speeds[r] == 0) continue;
    double node_speed = 0;
    for (std::size_t other = 0; other < speeds.size(); ++other) {
      if (nodes[other] == nodes[r]) node_speed += double(speeds[other]);
    }
    if (node_speed <= link_faces_per_s[r]) continue;
    capped[r] = std::max<std::int64_t>(1, std::int64_t(double(speeds[r]) * (link_faces_per_s[r] / node_speed)));
  }
  return capped;
}

std::vector<Share> share_out(std::int64_t n, const std::vector<std::int64_t>& speeds) {
  double total = 0;
  for (const std::int64_t speed : speeds) total += double(speed);

  std::vector<Share> shares;
  double before = 0;
  std::int64_t first = 0;
  for (const std::int64_t speed : speeds) {
    before += double(speed);
    const std::int64_t end = before == total ? n : std::min(n, std::int64_t(double(n) * (before / total)));
    shares.push_back({first, end - first});
    first = end;
  }
  return shares;
}

std::vector<Share> plan_chunks(Share share, int devices, int chunk_faces) {
  // An eighth of a full chunk at either end; between, a device's chunks double up to full size, and none takes more
  // than half of an equal part of what is left.
  const std::int64_t least = std::max(1, chunk_faces / 8);
  const std::int64_t end = share.first + share.faces;

  std::vector<Share> chunks;
  for (std::int64_t first = share.first; first < end;) {
    const int round = int(std::min<std::int64_t>(chunks.size() / devices, 3));
    const std::int64_t rising = least << round;
    const std::int64_t falling = (end - first) / (2 * devices) / least * least;
    const std::int64_t wanted = std::min<std::int64_t>({rising, std::max(falling, least), chunk_faces});
    const std::int64_t faces = std::min(wanted, end - first);
    chunks.push_back({first, faces});
    first += faces;
  }
  return chunks;
}
