// Who takes part in a run: the devices that each rank opens, and what every rank knows of every rank.
#ifndef FACEGEN_RUN_TEAM_H_
#define FACEGEN_RUN_TEAM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/profile.h"  // defines: Profile
#include "run/device.h"      // defines: Devices
#include "run/numa.h"        // defines: NumaNodes

struct Member {
  std::int64_t leader;       // the first rank of its node
  std::int64_t in_place;     // 1: it reads and writes rank 0's arrays in place; 0: it exchanges messages
  std::int64_t devices;      // how many it drives; 0: it computes nothing
  std::int64_t chunk_faces;  // what they take at a time
  std::int64_t speed;        // faces/s that they compute, roughly, as far as these reach rank 0's memory
  NumaNodes nodes;           // that they are near to
};
using Team = std::vector<Member>;  // by rank

// Collective. Opens this rank's devices: its share of its node's GPUs, or its share of the node's cores where no rank of
// the node has a GPU.
//   list     what --devices says: "all", "none", or ordinals such as "0,2"; empty: not given, and then a GPU that cannot
//            be used is left out
//   threads  of the CPU; 0: as many as this rank may use
//   note     what the user should know of the choice, one sentence, or empty
Devices open_devices(const std::string& list, int threads, std::string* note);

// Collective. Asks every rank what it brings, and measures the links that their faces take. in_place: whether this rank
// maps rank 0's arrays.
Team gather_team(const Devices& devices, bool in_place, Profile& profile);

// Every rank's speed, for share_out.
std::vector<std::int64_t> speeds(const Team& team);

// The NUMA nodes that the devices of this rank and of the others of its node are near to.
NumaNodes nodes_nearby(const Team& team);

#endif  // FACEGEN_RUN_TEAM_H_
