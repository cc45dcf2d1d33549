#include "run/team.h"

#include <algorithm>
#include <charconv>
#include <future>
#include <sstream>

#include "common/failure.h"  // defines: Failure
#include "common/profile.h"  // defines: Profile
#include "network.h"         // defines: net::
#include "run/chunks.h"      // defines: RankGpus, assign_gpus, cap_by_links
#include "run/links.h"       // defines: Link, measure_links
#include "run/ranks.h"       // defines: rank, node_place, all_gather, usable_cpus

namespace {

// The ordinals that the list names, or all that are visible.
std::vector<int> wanted_gpus(const std::string& list, int visible) {
  std::vector<int> ordinals;
  if (list == "none") return ordinals;
  if (list.empty() || list == "all") {
    for (int i = 0; i < visible; ++i) ordinals.push_back(i);
    return ordinals;
  }
  std::istringstream items(list);
  for (std::string item; std::getline(items, item, ',');) {
    int ordinal = visible;  // what no int can hold names none either
    std::from_chars(item.data(), item.data() + item.size(), ordinal);
    if (ordinal < 0 || ordinal >= visible) {
      throw Failure(kUsage, "--devices names GPU " + item + ", but only " + std::to_string(visible) +
                                " are visible here: name others, or none for the CPU");
    }
    if (std::find(ordinals.begin(), ordinals.end(), ordinal) == ordinals.end()) ordinals.push_back(ordinal);
  }
  return ordinals;
}

// Tells every rank which GPUs every rank sees; returns the ordinals of those that are this rank's to drive.
std::vector<int> my_gpus(const std::vector<int>& wanted) {
  constexpr std::size_t kMost = 64;  // GPUs that a rank is told to see; a node has 16 at most today
  struct Seen {
    std::int64_t node, count, id[kMost];
  } seen = {node_place().leader, std::int64_t(std::min(wanted.size(), kMost)), {}};
  for (std::int64_t i = 0; i < seen.count; ++i) seen.id[i] = gpu_id(wanted[i]);

  std::vector<RankGpus> all;
  for (const Seen& one : all_gather(seen)) all.push_back({int(one.node), {one.id, one.id + one.count}});
  const std::vector<std::vector<int>> places = assign_gpus(all);
  std::vector<int> mine;
  for (const int place : places[rank()]) mine.push_back(wanted[place]);
  return mine;
}

}  // namespace

Devices open_devices(const std::string& list, int threads, std::string* note) {
  std::string why_not;
  const std::vector<int> wanted = wanted_gpus(list, count_gpus(&why_not));
  Devices devices;
  std::string unusable;                                       // what was said of the GPUs that are left out
  std::vector<std::future<std::unique_ptr<Device>>> opening;  // each takes a quarter of a second
  for (const int ordinal : my_gpus(wanted)) opening.push_back(std::async(open_gpu, ordinal));
  for (auto& gpu : opening) {
    try {
      devices.push_back(gpu.get());
    } catch (const Failure& failure) {
      if (!list.empty()) throw;
      unusable += (unusable.empty() ? "" : "; ") + std::string(failure.what());
    }
  }

  bool cpu = true;  // no rank of this node has a GPU
  for (const Member& member : all_gather(Member{node_place().leader, 0, std::int64_t(devices.size()), 0, 0, 0})) {
    if (member.leader == node_place().leader && member.devices > 0) cpu = false;
  }
  if (cpu) devices.push_back(open_cpu(threads > 0 ? threads : usable_cpus()));

  note->clear();
  if (!unusable.empty()) {
    *note = "warning: " + unusable + (cpu ? "; computing on the CPU" : "; computing on the other GPUs");
  } else if (cpu && wanted.empty() && is_root() && list != "none") {
    *note = why_not + ": computing on the CPU";
  }
  return devices;
}

Team gather_team(const Devices& devices, bool in_place, Profile& profile) {
  Member mine = {node_place().leader, in_place || is_root(), std::int64_t(devices.size()), 1, 0, 0};
  for (const auto& device : devices) {
    mine.chunk_faces =
        mine.speed == 0 ? device->chunk_faces() : std::min<std::int64_t>(mine.chunk_faces, device->chunk_faces());
    mine.speed += device->speed();
    mine.nodes |= device->nodes();
  }
  Team team = all_gather(mine);

  // Ranks of rank 0's node that exchange messages with it share a link, as another node's ranks do.
  std::vector<std::int64_t> leaders;
  std::int64_t senders_here = 0;  // the first of them; 0: none so far
  for (int r = 0; r < rank_count(); ++r) {
    const bool sends_here = team[r].leader == 0 && !team[r].in_place;
    if (sends_here && senders_here == 0) senders_here = r;
    leaders.push_back(sends_here ? senders_here : team[r].leader);
  }
  const std::vector<Link> links = measure_links(leaders);
  const Link& link = links[rank()];
  if (leaders[rank()] == rank() && link.bytes > 0) {
    profile.add("link", "", double(link.nanoseconds) * 1e-9, link.bytes, 0);
  }

  std::vector<double> faces_per_s;
  for (const Link& each : links) faces_per_s.push_back(each.bytes_per_s() / double(net::kFaceBytes));
  const std::vector<std::int64_t> capped = cap_by_links(speeds(team), leaders, faces_per_s);
  for (std::size_t r = 0; r < team.size(); ++r) team[r].speed = capped[r];
  return team;
}

std::vector<std::int64_t> speeds(const Team& team) {
  std::vector<std::int64_t> all;
  for (const Member& member : team) all.push_back(member.speed);
  return all;
}

NumaNodes nodes_nearby(const Team& team) {
  NumaNodes nodes = 0;
  for (const Member& member : team) {
    if (member.leader == node_place().leader) nodes |= member.nodes;
  }
  return nodes;
}
