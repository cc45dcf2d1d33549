#include "run/run.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "common/failure.h"  // defines: Failure
#include "common/profile.h"  // defines: Profile, ProfileTimer
#include "network.h"         // defines: net::
#include "run/beats.h"       // defines: Beats
#include "run/device.h"      // defines: Devices, count_gpus
#include "run/ranks.h"       // defines: Transfers, rank, is_root, broadcast, all_gather, usable_cpus
#include "run/sinks.h"       // defines: Outbox, ResultArray, SendBuffers

namespace {

constexpr int kPatience = 1000;  // us between two looks at the devices of a rank that has nothing else to do,
constexpr int kHaste = 50;       // and of one that has data under way to or from other ranks

// network (net::kNetworkFloats), complete on rank 0, to every rank.
void share_network(float* network, Beats& beats, Profile& profile) {
  const ProfileTimer timer;
  const auto look = [&beats] { beats.look(); };
  broadcast_bytes(network, net::kNetworkBytes, beats.wanted() ? look : std::function<void()>());
  profile.add("broadcast network", "", timer.seconds(), net::kNetworkBytes, 0);
}

}  // namespace

// What rank 0 tells the others of a call.
struct Run::Call {
  std::int64_t faces, new_network;       // 1: they do not have the network yet
  std::int64_t network, noise, outputs;  // names of rank 0's arrays for those that map them; 0: not in such an array
  double patience;                       // s; see run/beats.h

  // That rank reads and writes rank 0's arrays.
  bool in_place(const Member& member) const {
    return member.in_place && noise != 0 && outputs != 0 && (network != 0 || !new_network);
  }
  bool all_in_place(const Team& team) const {
    return std::all_of(team.begin() + 1, team.end(), [this](const Member& member) { return in_place(member); });
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Before the first call
// ---------------------------------------------------------------------------------------------------------------------

Run::Run(const facegen_options* options)
    : options_(options ? *options : facegen_options()),
      driver_has_hooks_(options != nullptr),
      profile_(options_.profile ? *options_.profile : unread_profile_) {}

Run::~Run() {
  if (joined_job_) ranks_leave();
}

void Run::start() {
  if (devices_) return;
  joined_job_ = ranks_join();
  Devices devices = open_devices(options_.devices ? options_.devices : "", options_.threads, &note_);
  // The arrays of a driver without hooks lie in memory of its own, which no other rank can map.
  team_ = gather_team(devices, driver_has_hooks_ && can_map_root_memory(), profile_);
  devices_ = std::make_unique<DeviceThreads>(std::move(devices), profile_);
  if (!team_[rank()].in_place) need_send_buffers();
}

// Chunks go to whichever device is free, so no part of the array is one device's: where devices are near to several
// NUMA nodes its pages take turns on them, and no socket's memory has to take what all devices write.
float* Run::alloc(std::size_t floats) {
  const bool mapped = is_root() && std::any_of(team_.begin() + 1, team_.end(), [](auto& m) { return m.in_place != 0; });
  return arrays_.make(floats, nodes_nearby(team_), mapped);
}

void Run::free(float* array) { arrays_.free(array); }

// A rank that cannot map them although it could map a page before exchanges messages from now on.
void Run::share() {
  if (rank_count() == 1) return;
  std::vector<HostArrays::Told> told;
  if (is_root()) told = arrays_.tell();
  told.resize(std::size_t(broadcast(std::int64_t(told.size()))));
  broadcast_bytes(told.data(), told.size() * sizeof(HostArrays::Told));
  const bool in_place = is_root() || (team_[rank()].in_place && arrays_.map(told));
  const std::vector<std::int64_t> all = all_gather(std::int64_t(in_place));
  for (int r = 0; r < rank_count(); ++r) team_[r].in_place = all[r];
  if (!in_place) need_send_buffers();
}

// A GPU is done with any batch long before it is written, and each batch costs it the filling and draining of its
// pipeline: the larger the better. Cores compute for so long that the files of one batch are best written beside the
// next.
int Run::batch_faces() const {
  constexpr std::int64_t kFacesPerCpu = 1024;
  const bool cpu = (options_.devices && std::string(options_.devices) == "none") || count_gpus() == 0;
  return cpu ? int(std::min<std::int64_t>(kFacesPerCpu * usable_cpus() * rank_count(), INT_MAX)) : INT_MAX;
}

// As many as there can be chunks under way on the devices, and two whose faces are being sent.
void Run::need_send_buffers() {
  if (!send_buffers_.empty()) return;
  int buffers = 2;
  for (const auto& device : devices_->devices()) buffers += device->slots();
  for (int i = 0; i < buffers; ++i) {
    float* buffer = arrays_.make(std::size_t(team_[rank()].chunk_faces) * net::kFaceFloats, 0, false);
    if (!buffer) throw Failure(kMachine, "out of memory: no buffers to be had for the faces that are sent to rank 0");
    send_buffers_.push_back(buffer);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// One call, seen from rank 0 and from the others
// ---------------------------------------------------------------------------------------------------------------------

void Run::compute(int num_to_gen, const float* network, const float* inputs, float* outputs) {
  if (!devices_) throw Failure(kUsage, "facegen was called before facegen_init");
  Call call = {};
  if (is_root()) {
    if (num_to_gen < 0) throw Failure(kUsage, "facegen was asked for " + std::to_string(num_to_gen) + " faces");
    if (!network && !has_network_) throw Failure(kUsage, "facegen was given no network");
    const std::size_t n = std::size_t(num_to_gen);
    call = {num_to_gen,
            network != nullptr,
            arrays_.name(network, net::kNetworkFloats),
            arrays_.name(inputs, n * net::kNoise),
            arrays_.name(outputs, n * net::kFaceFloats),
            Beats::patience()};
    has_network_ = true;
  }
  broadcast_bytes(&call, sizeof call);
  is_root() ? compute_on_root(call, network, inputs, outputs) : compute_elsewhere(call);
}

std::vector<Share> Run::chunks_of(int r, Share share) const {
  return plan_chunks(share, int(std::max<std::int64_t>(1, team_[r].devices)), int(team_[r].chunk_faces));
}

void Run::compute_on_root(const Call& call, const float* network, const float* inputs, float* outputs) {
  const std::vector<Share> shares = share_out(call.faces, speeds(team_)), chunks = chunks_of(0, shares[0]);
  ResultArray results(outputs, chunks);
  devices_->begin(network, chunks, inputs, results);
  const StopAtEnd stop{*devices_};

  // Its own devices are at work by now. Give the others what they need, and hold the results' places open.
  Beats beats(call.patience);
  if (call.new_network && !call.all_in_place(team_))
    share_network(const_cast<float*>(network), beats, profile_);  // only read
  const ProfileTimer timer;
  std::int64_t own_done = 0, others_done = 0, bytes = 0;  // faces computed here, and by others; received
  Transfers transfers;
  for (int r = 1; r < rank_count(); ++r) {
    const bool in_place = call.in_place(team_[r]);
    if (!in_place) {
      transfers.send(r, 0, inputs + shares[r].first * net::kNoise, std::size_t(shares[r].faces) * net::kNoise);
    }
    const std::vector<Share> theirs = chunks_of(r, shares[r]);
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      const std::int64_t faces = theirs[i].faces, sent = in_place ? 0 : faces;
      transfers.receive(r, std::int64_t(i) + 1, outputs + theirs[i].first * net::kFaceFloats,
                        std::size_t(sent) * net::kFaceFloats, [&others_done, &bytes, faces, sent] {
                          others_done += faces;
                          bytes += sent * net::kFaceBytes;
                        });
    }
  }

  for (bool done = false; !done || !transfers.empty();) {
    done = devices_->done(transfers.empty() ? kPatience : kHaste);
    transfers.poll();
    beats.look();
    for (const std::size_t i : results.take_ready()) own_done += chunks[i].faces;
    if (options_.progress) options_.progress(options_.progress_of, int(own_done + others_done));
  }
  beats.end();
  if (rank_count() > 1) profile_.add("gather", "", timer.seconds(), bytes, others_done);
}

// Gets its share of the noise, computes it, sends it chunk by chunk. In rank 0's arrays nothing moves but the news that
// a chunk is done.
void Run::compute_elsewhere(const Call& call) {
  const Share share = share_out(call.faces, speeds(team_))[rank()];
  const std::vector<Share> chunks = chunks_of(rank(), share);
  Beats beats(call.patience);
  const float* network = nullptr;
  if (call.new_network && call.all_in_place(team_)) {
    network = arrays_.place(call.network, net::kNetworkFloats);
  } else if (call.new_network) {
    network_.resize(net::kNetworkFloats);
    share_network(network_.data(), beats, profile_);
    network = network_.data();
  }

  Transfers transfers;
  std::vector<float> received;  // (faces, 100)
  const float* noise;           // the same, or rank 0's
  std::unique_ptr<Outbox> outbox;
  if (call.in_place(team_[rank()])) {
    const std::size_t n = std::size_t(call.faces);
    noise = arrays_.place(call.noise, n * net::kNoise) + share.first * net::kNoise;
    outbox = std::make_unique<ResultArray>(arrays_.place(call.outputs, n * net::kFaceFloats), chunks);
  } else {
    const ProfileTimer timer;
    received.resize(std::size_t(share.faces) * net::kNoise);
    noise = received.data();
    transfers.receive(0, 0, received.data(), received.size());
    for (; !transfers.empty(); transfers.poll()) beats.look();
    profile_.add("receive noise", "", timer.seconds(), share.faces * net::kNoiseBytes, share.faces);
    need_send_buffers();
    outbox = std::make_unique<SendBuffers>(send_buffers_, chunks);
  }

  devices_->begin(network, chunks, noise, *outbox);
  const StopAtEnd stop{*devices_};
  for (bool done = false; !done || !transfers.empty();) {
    done = devices_->done(kHaste);
    for (const std::size_t i : outbox->take_ready()) outbox->send(i, transfers);
    transfers.poll();
    beats.look();
  }
  beats.end();
}
