// The parallel program, as the story of one run: ranks -> devices -> chunks -> layers -> host.
//
//   ranks     rank 0 broadcasts the network and sends every rank its share of the noise        run/ranks.h
//             (no more than what its devices compute and its node's link carries)              run/links.h
//   devices   each rank drives the GPUs of its node that are its own, or else its CPU cores    run/device.h
//   chunks    a device takes the next chunk of its rank's share whenever it has a free slot    run/device_run.h
//   layers    proj and four transposed convolutions over a chunk of faces                      kernels/, cpu/
//   host      finished chunks go straight to their place in rank 0's result array, while others compute: ranks of
//             rank 0's node compute into it, others send                                       run/shared_arrays.h
//
// A face is computed by the same sums in the same order wherever it is computed and whatever chunk it comes in, so the
// result does not depend on the number of ranks, devices or chunks.
#include <algorithm>
#include <climits>
#include <condition_variable>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/failure.h"
#include "common/profile.h"
#include "driver/batches.h"
#include "facegen_hooks.h"
#include "network.h"
#include "run/chunks.h"
#include "run/device.h"
#include "run/device_run.h"
#include "run/links.h"
#include "run/ranks.h"
#include "run/shared_arrays.h"

namespace {

// What every rank knows of every rank, since facegen_init.
struct Team {
  std::vector<std::int64_t> own_speed;    // faces/s of its devices, roughly; 0: a rank without devices
  std::vector<std::int64_t> speed;        // what of that reaches rank 0's memory
  std::vector<std::int64_t> devices;      // how many
  std::vector<std::int64_t> chunk_faces;  // what its devices take at a time
  std::vector<std::int64_t> leaders;      // the first rank of its node
};

facegen_options g_options = {nullptr, 0, nullptr};
Team g_team;
std::string g_note;                        // what the user should know of the choice of devices
Devices g_devices;                         // this rank's
std::unique_ptr<DeviceThreads> g_threads;  // that drive them
NumaNodes g_nodes;                         // that its devices, and those of the ranks beside it, are near to
std::list<HostArray> g_send_buffers;       // ranks that send: each holds one chunk's faces
std::vector<float> g_network;              // ranks that received it: the network

std::vector<Share> plan_of(int r, Share share) {
  return plan_chunks(share, int(std::max<std::int64_t>(1, g_team.devices[r])), int(g_team.chunk_faces[r]));
}

// ---------------------------------------------------------------------------------------------------------------------
// Devices
// ---------------------------------------------------------------------------------------------------------------------

// The ordinals that --devices names, or all that are visible.
std::vector<int> wanted_gpus(int visible) {
  std::vector<int> ordinals;
  const std::string list = g_options.devices ? g_options.devices : "all";
  if (list == "none") return ordinals;
  if (list == "all") {
    for (int i = 0; i < visible; ++i) ordinals.push_back(i);
    return ordinals;
  }
  std::istringstream items(list);
  for (std::string item; std::getline(items, item, ',');) {
    const int ordinal = std::atoi(item.c_str());
    if (ordinal >= visible) {
      throw Failure(kUsage, "--devices names GPU " + std::to_string(ordinal) + ", but only " + std::to_string(visible) +
                                " are visible here: name others, or none for the CPU");
    }
    if (std::find(ordinals.begin(), ordinals.end(), ordinal) == ordinals.end()) ordinals.push_back(ordinal);
  }
  return ordinals;
}

// Tells every rank which GPUs every rank sees; returns the ordinals of those that are this rank's to drive.
std::vector<int> my_gpus(const std::vector<int>& wanted) {
  std::vector<RankGpus> all(rank_count());
  const auto nodes = all_gather(node_place().leader);
  const auto counts = all_gather(std::int64_t(wanted.size()));
  for (int r = 0; r < rank_count(); ++r) all[r].node = int(nodes[r]);
  for (std::size_t i = 0; i < std::size_t(*std::max_element(counts.begin(), counts.end())); ++i) {
    const auto ids = all_gather(i < wanted.size() ? gpu_id(wanted[i]) : -1);
    for (int r = 0; r < rank_count(); ++r) {
      if (std::int64_t(i) < counts[r]) all[r].id.push_back(ids[r]);
    }
  }
  std::vector<int> mine;
  const std::vector<std::vector<int>> places = assign_gpus(all);
  for (const int place : places[rank()]) mine.push_back(wanted[place]);
  return mine;
}

// Opens this rank's devices: its share of its node's GPUs, or its share of the node's cores where no rank of the node
// has a GPU. A GPU that cannot be used sends the node to the CPU, unless the user asked for that GPU.
Devices open_devices() {
  std::string why_not;
  const int visible = count_gpus(&why_not);
  const std::vector<int> wanted = wanted_gpus(visible);

  Devices devices;
  bool use_cpu = wanted.empty();
  for (const int ordinal : my_gpus(wanted)) {
    try {
      devices.push_back(open_gpu(ordinal));
    } catch (const Failure& failure) {
      if (g_options.devices) throw;
      g_note = "warning: " + std::string(failure.what()) + "; computing on the CPU";
      devices.clear();
      use_cpu = true;
      break;
    }
  }
  if (use_cpu) devices.push_back(open_cpu(g_options.threads > 0 ? g_options.threads : usable_cpus()));
  if (is_root() && wanted.empty() && !(g_options.devices && std::string(g_options.devices) == "none")) {
    g_note = why_not + ": computing on the CPU";
  }
  return devices;
}

// What of all ranks' own speeds reaches rank 0. leaders: for each rank, the first rank with the same way there; rank
// 0's need no messages.
std::vector<std::int64_t> reachable_speeds(const std::vector<std::int64_t>& leaders) {
  const std::vector<Link> links = measure_links(leaders);
  std::vector<double> faces_per_s;
  for (const Link& link : links) faces_per_s.push_back(link.bytes_per_s() / double(kFaceBytes));
  const Link& mine = links[rank()];
  if (leaders[rank()] == rank() && mine.bytes > 0)
    profile_add("link", "", double(mine.nanoseconds) * 1e-9, mine.bytes, 0);
  return cap_by_links(g_team.own_speed, leaders, faces_per_s);
}

// ---------------------------------------------------------------------------------------------------------------------
// Where a rank's finished chunks go
// ---------------------------------------------------------------------------------------------------------------------

// Rank 0: each chunk is computed straight into the result array.
class ResultArray : public Sink {
 public:
  ResultArray(float* outputs, const std::vector<Share>& chunks) : outputs_(outputs), chunks_(chunks) {}
  float* place(std::size_t i) override { return outputs_ + chunks_[i].first * net::kFaceFloats; }
  void ready(std::size_t i) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    faces_done_ += chunks_[i].faces;
  }
  std::int64_t faces_done() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return faces_done_;
  }

 private:
  float* outputs_;
  const std::vector<Share>& chunks_;
  std::mutex mutex_;
  std::int64_t faces_done_ = 0;
};

// Other ranks: what has become ready is sent by the thread that speaks MPI.
class Outbox : public Sink {
 public:
  void ready(std::size_t i) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ready_.push_back(i);
  }
  void send_ready(Transfers& transfers) {
    std::vector<std::size_t> ready;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ready.swap(ready_);
    }
    for (const std::size_t i : ready) send(i, transfers);
  }
  virtual void give_up() {}  // the run failed: nobody waits for memory any longer

 protected:
  virtual void send(std::size_t i, Transfers& transfers) = 0;
  std::mutex mutex_;

 private:
  std::vector<std::size_t> ready_;  // chunks to send
};

// Ranks beside rank 0: each chunk is computed straight into the result array as well, and rank 0 told so.
class SharedResultArray : public Outbox {
 public:
  SharedResultArray(const std::vector<Share>& chunks, float* outputs) : chunks_(chunks), outputs_(outputs) {}
  float* place(std::size_t i) override { return outputs_ + chunks_[i].first * net::kFaceFloats; }

 protected:
  void send(std::size_t i, Transfers& transfers) override { transfers.send(0, std::int64_t(i), nullptr, 0); }

 private:
  const std::vector<Share>& chunks_;
  float* outputs_;
};

// Ranks elsewhere: a chunk is computed into one of a few buffers, and the buffer is free again once its faces were
// sent.
class SendBuffers : public Outbox {
 public:
  SendBuffers(const std::vector<Share>& chunks, const std::list<HostArray>& buffers)
      : chunks_(chunks), used_(chunks.size(), nullptr) {
    for (const HostArray& buffer : buffers) free_.push_back(buffer.data());
  }

  float* place(std::size_t i) override {
    std::unique_lock<std::mutex> lock(mutex_);
    freed_.wait(lock, [this] { return !free_.empty() || over_; });
    if (over_) return nullptr;
    used_[i] = free_.back();
    free_.pop_back();
    return used_[i];
  }

  void give_up() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    freed_.notify_all();
  }

 protected:
  void send(std::size_t i, Transfers& transfers) override {
    transfers.send(0, std::int64_t(i), used_[i], std::size_t(chunks_[i].faces) * net::kFaceFloats, [this, i] {
      const std::lock_guard<std::mutex> lock(mutex_);
      free_.push_back(used_[i]);
      freed_.notify_one();
    });
  }

 private:
  const std::vector<Share>& chunks_;
  std::condition_variable freed_;
  std::vector<float*> free_;  // each holds the largest chunk
  std::vector<float*> used_;  // by chunk
  bool over_ = false;
};

// As many as there can be chunks under way on the devices, and two whose faces are being sent.
void need_send_buffers() {
  if (!g_send_buffers.empty()) return;
  int buffers = 2;
  for (const auto& device : g_devices) buffers += device->slots();
  for (int i = 0; i < buffers; ++i) {
    g_send_buffers.emplace_back(std::size_t(g_team.chunk_faces[rank()]) * net::kFaceFloats);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// One run, seen from rank 0 and from the others
// ---------------------------------------------------------------------------------------------------------------------

constexpr int kPatience = 1000;  // us between two looks at the devices of a rank that has nothing else to do,
constexpr int kHaste = 50;       // and of one that has data under way to or from other ranks

// What rank 0 tells the others of a run.
struct Call {
  std::int64_t new_network;              // 1: they do not have it yet
  std::int64_t network, noise, outputs;  // names of rank 0's arrays for those that see them; 0 where there are none

  // That rank reads and writes rank 0's arrays.
  bool in_place(int r) const {
    return noise != 0 && outputs != 0 && (network != 0 || !new_network) && sees_root_arrays(r);
  }
  bool all_in_place() const {
    for (int r = 1; r < rank_count(); ++r) {
      if (!in_place(r)) return false;
    }
    return true;
  }
};

// network (net::kNetworkFloats), complete on rank 0, to every rank.
void share_network(float* network) {
  const ProfileTimer timer;
  broadcast(network, net::kNetworkFloats);
  profile_add("broadcast network", "", timer.seconds(), net::kNetworkBytes, 0);
}

// Rank 0: network and inputs are complete.
void run_root(const std::vector<Share>& shares, const Call& call, float* network, const float* inputs, float* outputs) {
  const std::vector<Share> chunks = plan_of(0, shares[0]);
  ResultArray results(outputs, chunks);
  DeviceRun devices(*g_threads, call.new_network ? network : nullptr, chunks, inputs, shares[0].first, results);

  // Its own devices are at work by now. Give the others what they need, and hold the results' places open.
  if (call.new_network && !call.all_in_place()) share_network(network);
  const ProfileTimer timer;
  std::int64_t others_done = 0, bytes = 0;  // faces that others have computed; received
  Transfers transfers;
  for (int r = 1; r < rank_count(); ++r) {
    const bool in_place = call.in_place(r);
    if (!in_place) {
      transfers.send(r, 0, inputs + shares[r].first * net::kNoise, std::size_t(shares[r].faces) * net::kNoise);
    }
    const std::vector<Share> theirs = plan_of(r, shares[r]);
    if (std::int64_t(theirs.size()) > Transfers::max_id()) {
      throw Failure(kMachine, std::to_string(theirs.size()) +
                                  " chunks for one rank are more than MPI can tell apart (" +
                                  std::to_string(Transfers::max_id()) + "): try a smaller --batch");
    }
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      const std::int64_t faces = theirs[i].faces, sent = in_place ? 0 : faces;
      transfers.receive(r, std::int64_t(i), outputs + theirs[i].first * net::kFaceFloats,
                        std::size_t(sent) * net::kFaceFloats, [&others_done, &bytes, faces, sent] {
                          others_done += faces;
                          bytes += sent * kFaceBytes;
                        });
    }
  }

  for (bool done = false; !done || !transfers.empty();) {
    done = devices.done(transfers.empty() ? kPatience : kHaste);
    transfers.poll();
    if (g_options.progress) g_options.progress(int(results.faces_done() + others_done));
  }
  if (rank_count() > 1) profile_add("gather", "", timer.seconds(), bytes, others_done);
}

// Every other rank: gets its share of the noise, computes it, sends it chunk by chunk. Beside rank 0 nothing moves but
// the news that a chunk is done.
void run_other(const std::vector<Share>& shares, const Call& call) {
  const Share share = shares[rank()];
  const std::vector<Share> chunks = plan_of(rank(), share);
  const float* network = nullptr;
  if (call.new_network && call.all_in_place()) {
    network = shared_place(call.network);
  } else if (call.new_network) {
    g_network.resize(net::kNetworkFloats);
    share_network(g_network.data());
    network = g_network.data();
  }

  Transfers transfers;
  std::vector<float> received;  // (faces, 100)
  const float* noise;
  std::unique_ptr<Outbox> outbox;
  if (call.in_place(rank())) {
    noise = shared_place(call.noise) + share.first * net::kNoise;
    outbox = std::make_unique<SharedResultArray>(chunks, shared_place(call.outputs));
  } else {
    const ProfileTimer timer;
    received.resize(std::size_t(share.faces) * net::kNoise);
    transfers.receive(0, 0, received.data(), received.size());
    transfers.wait_all();
    profile_add("receive noise", "", timer.seconds(), share.faces * kNoiseBytes, share.faces);
    noise = received.data();
    need_send_buffers();
    outbox = std::make_unique<SendBuffers>(chunks, g_send_buffers);
  }

  DeviceRun devices(*g_threads, network, chunks, noise, share.first, *outbox);
  try {
    for (bool done = false; !done || !transfers.empty();) {
      done = devices.done(kHaste);
      outbox->send_ready(transfers);
      transfers.poll();
    }
  } catch (...) {
    outbox->give_up();
    throw;
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// The seam
// ---------------------------------------------------------------------------------------------------------------------

extern "C" void facegen_configure(const struct facegen_options* options) { g_options = *options; }

extern "C" void facegen_init(void) {
  g_devices = open_devices();
  g_threads = std::make_unique<DeviceThreads>(g_devices);

  std::int64_t speed = 0;
  int chunk_faces = 1;
  NumaNodes nodes = 0;
  for (std::size_t i = 0; i < g_devices.size(); ++i) {
    speed += g_devices[i]->speed();
    chunk_faces = i == 0 ? g_devices[i]->chunk_faces() : std::min(chunk_faces, g_devices[i]->chunk_faces());
    nodes |= g_devices[i]->nodes();
  }
  g_team.devices = all_gather(std::int64_t(g_devices.size()));
  g_team.chunk_faces = all_gather(chunk_faces);

  g_team.leaders = all_gather(node_place().leader);
  g_team.own_speed = all_gather(speed);
  g_team.speed = reachable_speeds(g_team.leaders);
  const auto all_nodes = all_gather(std::int64_t(nodes));
  g_nodes = 0;
  for (int r = 0; r < rank_count(); ++r) {
    if (g_team.leaders[r] == node_place().leader) g_nodes |= NumaNodes(all_nodes[r]);
  }
  if (!is_root() && !beside_root()) need_send_buffers();
}

extern "C" void facegen_share(void) {
  share_arrays();
  if (!is_root() && !sees_root_arrays(rank())) need_send_buffers();

  // Ranks of rank 0's node that do not see its arrays send messages, too: they have a link like another node's.
  std::vector<std::int64_t> leaders = g_team.leaders;
  int blind = 0;  // the first of them
  for (int r = 1; r < rank_count(); ++r) {
    if (leaders[r] != leaders[0] || sees_root_arrays(r)) continue;
    if (blind == 0) blind = r;
    leaders[r] = blind;
  }
  if (blind != 0) g_team.speed = reachable_speeds(leaders);
}

extern "C" void facegen(int num_to_gen, float* network, float* inputs, float* outputs) {
  Call call = {};
  if (is_root()) {
    const std::size_t n = std::size_t(num_to_gen);
    call = {network != nullptr, shared_name(network, net::kNetworkFloats), shared_name(inputs, n * net::kNoise),
            shared_name(outputs, n * net::kFaceFloats)};
  }
  broadcast(&call.new_network, sizeof call / sizeof(std::int64_t));
  const std::vector<Share> shares = share_out(num_to_gen, g_team.speed);
  if (is_root()) {
    run_root(shares, call, network, inputs, outputs);
  } else {
    run_other(shares, call);
  }
}

extern "C" void facegen_fin(void) {
  forget_root_arrays();
  g_send_buffers.clear();
  g_threads.reset();
  g_devices.clear();
}

// Chunks go to whichever device is free, so no part of the array is one device's: where devices are near to several
// NUMA nodes its pages take turns on them, and no socket's memory has to take what all devices write.
extern "C" float* facegen_alloc(size_t floats) { return alloc_array(floats, g_nodes); }
extern "C" void facegen_free(float* memory) { free_array(memory); }

// A GPU is done with any batch long before it is written, and each batch costs it the filling and draining of its
// pipeline: the larger the better. Cores compute for so long that the files of one batch are best written beside the
// next.
extern "C" int facegen_batch_faces(void) {
  constexpr int kFacesPerCpu = 1024;
  const bool cpu = (g_options.devices && std::string(g_options.devices) == "none") || count_gpus() == 0;
  return cpu ? kFacesPerCpu * std::min(usable_cpus() * rank_count(), 1 << 20) : INT_MAX;
}

extern "C" const char* facegen_note(void) { return g_note.empty() ? nullptr : g_note.c_str(); }

extern "C" const char* facegen_about(void) {
  static const std::string about =
      std::string(gpu_about()) + ", " + cpu_about() + ", " + (mpi_library().empty() ? "no MPI" : mpi_library());
  return about.c_str();
}
