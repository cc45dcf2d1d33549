// How a run is cut up and handed out, with simulated devices: shares, chunks, GPUs to ranks, a slow and a failing
// device.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <set>
#include <thread>

#include "common/failure.h"
#include "network.h"
#include "run/chunks.h"
#include "run/device_threads.h"
#include "run/host_arrays.h"
#include "tests/support.h"

namespace {

// ---- Shares

TEST(Shares, CoverEveryFaceOnceInProportion) {
  for (const std::int64_t n : {0, 1, 7, 129, 1000, 65536}) {
    for (const std::vector<std::int64_t>& speeds :
         {std::vector<std::int64_t>{1}, {1, 1}, {5, 5, 5}, {1000, 1, 1000, 0, 3}, {0, 0, 4}}) {
      const auto shares = share_out(n, speeds);
      ASSERT_EQ(shares.size(), speeds.size());
      const double total = std::accumulate(speeds.begin(), speeds.end(), 0.0);
      std::int64_t next = 0;
      for (std::size_t r = 0; r < shares.size(); ++r) {
        EXPECT_EQ(shares[r].first, next);
        EXPECT_LE(std::abs(double(shares[r].faces) - double(n) * double(speeds[r]) / total), 1.0);
        EXPECT_TRUE(speeds[r] != 0 || shares[r].faces == 0);
        next += shares[r].faces;
      }
      EXPECT_EQ(next, n);
    }
  }
}

TEST(Shares, GoPastTwoToThe31Values) {
  const std::int64_t n = std::int64_t(3) << 32;  // faces; each is 12,288 values
  const auto shares = share_out(n, {1, 1, 1});
  EXPECT_EQ(shares[2].first, std::int64_t(2) << 32);
  const auto chunks = plan_chunks({shares[2].first, 1 << 20}, 4, 1024);
  EXPECT_EQ(chunks.front().first, std::int64_t(2) << 32);
  EXPECT_EQ(chunks.back().first + chunks.back().faces, (std::int64_t(2) << 32) + (1 << 20));
}

// ---- Speeds and links

using Speeds = std::vector<std::int64_t>;

TEST(Links, CapWhatTheyDoNotCarry) {
  const struct {
    const char* what;
    Speeds speeds, nodes;
    std::vector<double> links;
    Speeds expected;
  } rows[] = {
      {"rank 0's node has none", {700}, {0}, {0}, {700}},
      {"nor its other ranks", {3500000, 0, 5}, {0, 0, 0}, {0, 0, 0}, {3500000, 0, 5}},
      {"wherever they stand", {9, 9, 9}, {0, 2, 0}, {0, 1, 0}, {9, 1, 9}},
      {"a speed that is carried", {700, 700}, {0, 1}, {0, 20000}, {700, 700}},
      {"and just carried", {700, 350, 350}, {0, 1, 1}, {0, 700, 700}, {700, 350, 350}},
      {"more than is carried", {3500000, 3500000}, {0, 1}, {0, 500000}, {3500000, 500000}},
      {"ranks of a node in proportion",
       {4000, 4000, 3000, 1000, 0},
       {0, 0, 2, 2, 2},
       {0, 0, 1000, 1000, 1000},
       {4000, 4000, 750, 250, 0}},
      {"each node its own",
       {1000, 1000, 1000, 1000, 1000},
       {0, 1, 2, 1, 0},
       {0, 500, 2000, 500, 0},
       {1000, 250, 1000, 250, 1000}},
      {"some for whoever computes", {0, 3500000, 10, 0}, {0, 1, 1, 1}, {0, 0.25, 0.25, 0.25}, {0, 1, 1, 0}},
  };
  for (const auto& row : rows) EXPECT_EQ(cap_by_links(row.speeds, row.nodes, row.links), row.expected) << row.what;
  const auto shares = share_out(80000, {3500000, 500000});
  EXPECT_EQ(shares[0].faces, 70000);
  EXPECT_EQ(shares[1].faces, 10000);
}

// ---- Chunks

TEST(Chunks, CoverAShareOnceSmallAtBothEnds) {
  for (const std::int64_t faces : {0, 1, 7, 129, 1000, 8192, 65536, 200001}) {
    for (const int devices : {1, 2, 4, 8}) {
      for (const int most : {1, 7, 64, 1024}) {
        const auto chunks = plan_chunks({1000, faces}, devices, most);
        std::int64_t next = 1000;
        for (const Share& chunk : chunks) {
          EXPECT_EQ(chunk.first, next);
          EXPECT_GE(chunk.faces, 1);
          EXPECT_LE(chunk.faces, most);
          next += chunk.faces;
        }
        EXPECT_EQ(next, 1000 + faces);
        if (faces >= 20 * most * devices) {
          const auto largest = std::max_element(chunks.begin(), chunks.end(),
                                                [](const Share& a, const Share& b) { return a.faces < b.faces; });
          EXPECT_EQ(largest->faces, most);
          EXPECT_LE(chunks.front().faces, std::max(1, most / 8));
          EXPECT_LE(chunks.back().faces, std::max(2, most / 4));
        }
      }
    }
  }
}

// ---- GPUs to ranks

using Places = std::vector<std::vector<int>>;

TEST(Gpus, EachToOneRankOfItsNode) {
  const struct {
    const char* what;
    std::vector<RankGpus> ranks;
    Places expected;
  } rows[] = {
      {"all to one", {{0, {10, 11, 12, 13}}}, {{0, 1, 2, 3}}},
      {"in turn", {{0, {10, 11, 12, 13}}, {0, {10, 11, 12, 13}}}, {{0, 2}, {1, 3}}},
      {"more ranks than GPUs: the last has none", {{0, {10}}, {0, {10}}}, {{0}, {}}},
      {"the same ids on another node are other GPUs", {{0, {10, 11}}, {1, {10, 11}}}, {{0, 1}, {0, 1}}},
      {"the scheduler shows each rank one of its own", {{0, {10}}, {0, {11}}}, {{0}, {0}}},
      {"or all in another order", {{0, {10, 11}}, {0, {11, 10}}}, {{0}, {0}}},
      {"or none", {{0, {}}, {0, {7}}}, {{}, {0}}},
  };
  for (const auto& row : rows) EXPECT_EQ(assign_gpus(row.ranks), row.expected) << row.what;
}

// ---- Devices that are not there

std::atomic<int> g_faces_finished, g_chunks_finished;  // by all devices

// Makes each face from its noise and the network's first value alone; may be slow, may fail.
class Simulated : public Device {
 public:
  Simulated(int slots, int us_per_face, int fails_at = -1)
      : slots_(slots), us_per_face_(us_per_face), fails_at_(fails_at), pending_(slots) {}

  std::string name() const override { return "simulated"; }
  int speed() const override { return 1; }
  int chunk_faces() const override { return 16; }
  int slots() const override { return slots_; }
  void attach() override { thread_ = std::this_thread::get_id(); }
  void load_network(const float* network) override { bias_ = network[0]; }

  void start(int slot, int n, const float* noise, float* faces) override {
    ASSERT_EQ(std::this_thread::get_id(), thread_);
    ASSERT_EQ(slot, started_ % slots_);
    ASSERT_LT(started_ - finished_, slots_);
    ASSERT_LE(n, chunk_faces());
    if (started_++ == fails_at_) throw Failure(kMachine, "simulated device failed in start()");
    pending_[slot] = {n, noise, faces};
    faces_ += n;
  }

  void finish(int slot) override {
    ASSERT_EQ(slot, finished_++ % slots_);
    const Pending& p = pending_[slot];
    std::this_thread::sleep_for(std::chrono::microseconds(std::int64_t(us_per_face_) * p.n));
    g_faces_finished += p.n;
    ++g_chunks_finished;
    for (std::size_t i = 0; i < std::size_t(p.n) * net::kFaceFloats; ++i)
      p.faces[i] = p.noise[i / net::kFaceFloats * net::kNoise + i % net::kFaceFloats % net::kNoise] + bias_;
  }

  int faces() const { return faces_; }
  void start_over() { started_ = finished_ = 0; }  // slots are taken in turn from the first in every call

 private:
  struct Pending {
    int n = 0;
    const float* noise = nullptr;
    float* faces = nullptr;
  };
  const int slots_, us_per_face_, fails_at_;
  std::vector<Pending> pending_;
  std::thread::id thread_;
  int started_ = 0, finished_ = 0;
  int faces_ = 0;
  float bias_ = 0;
};

using SimulatedDevices = std::vector<std::unique_ptr<Simulated>>;

SimulatedDevices simulated(int count, int slots, int us_per_face) {
  SimulatedDevices devices;
  for (int i = 0; i < count; ++i) devices.push_back(std::make_unique<Simulated>(slots, us_per_face));
  return devices;
}

Devices one_device() {
  Devices devices;
  devices.push_back(std::make_unique<Simulated>(2, 1));
  return devices;
}

class Collect : public Sink {
 public:
  explicit Collect(std::vector<Share> chunks, std::int64_t faces)
      : result(std::size_t(faces) * net::kFaceFloats, std::nanf("")), chunks_(std::move(chunks)) {}
  float* place(std::size_t i) override { return result.data() + chunks_[i].first * net::kFaceFloats; }
  void ready(std::size_t i) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    EXPECT_TRUE(seen.insert(i).second) << "chunk " << i << " twice";
  }
  std::vector<float> result;
  std::set<std::size_t> seen;

 private:
  std::vector<Share> chunks_;
  std::mutex mutex_;
};

// Has no place for any face: says so at once, or when it is given up.
class NoPlace : public Sink {
 public:
  explicit NoPlace(bool at_once) : over_(at_once) {}
  float* place(std::size_t) override {
    while (!over_) std::this_thread::yield();
    return nullptr;
  }
  void ready(std::size_t) override { FAIL(); }
  void give_up() override { over_ = true; }

 private:
  std::atomic<bool> over_;
};

void await(DeviceThreads& threads) {
  while (!threads.done(1000)) {
  }
}

struct Outcome {
  std::vector<float> faces;
  std::vector<int> per_device;
};

Outcome run_on(SimulatedDevices simulated, std::int64_t faces) {
  g_faces_finished = g_chunks_finished = 0;
  std::vector<float> noise(std::size_t(faces) * net::kNoise);
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = float(i % 1009);
  const float network[] = {0.5f};
  std::vector<Simulated*> peek;
  Devices devices;
  for (auto& device : simulated) {
    peek.push_back(device.get());
    devices.push_back(std::move(device));
  }
  const auto chunks = plan_chunks({0, faces}, int(devices.size()), 16);
  Collect sink(chunks, faces);
  Profile profile;
  DeviceThreads threads(std::move(devices), profile);
  {
    const StopAtEnd stop{threads};
    threads.begin(network, chunks, noise.data(), sink);
    await(threads);
  }
  EXPECT_EQ(sink.seen.size(), chunks.size());
  Outcome outcome = {std::move(sink.result), {}};
  for (const Simulated* device : peek) outcome.per_device.push_back(device->faces());
  return outcome;
}

TEST(DeviceThreads, GivesTheSameFacesForAnyNumberOfDevices) {
  for (const int faces : {0, 1, 7, 129, 300}) {
    const Outcome one = run_on(simulated(1, 1, 20), faces);
    for (const float value : one.faces) ASSERT_FALSE(std::isnan(value));
    for (const int count : {2, 3, 4}) {
      const Outcome many = run_on(simulated(count, count % 3 + 1, 20), faces);
      EXPECT_EQ(one.faces, many.faces) << faces << " faces on " << count;
      EXPECT_EQ(std::accumulate(many.per_device.begin(), many.per_device.end(), 0), faces);
    }
  }
}

TEST(DeviceThreads, GivesASlowDeviceFewerChunks) {
  SimulatedDevices devices = simulated(3, 2, 200);
  devices.push_back(std::make_unique<Simulated>(2, 10000));
  const Outcome outcome = run_on(std::move(devices), 400);
  for (int i = 0; i < 3; ++i) EXPECT_LT(outcome.per_device[3], outcome.per_device[i]);
}

TEST(DeviceThreads, PassesOnWhatADeviceThrewAndStopsTheOthers) {
  SimulatedDevices devices = simulated(3, 2, 500);
  devices.push_back(std::make_unique<Simulated>(2, 500, 1));
  expect_failure(kMachine, {"simulated device failed in start()"}, [&] { run_on(std::move(devices), 2000); });
  EXPECT_LT(g_faces_finished, 500);  // of 2000: what was under way, and hardly a chunk more
}

// A device whose third chunk fails, while the two before it still write into the call's memory.
TEST(DeviceThreads, LeaveNothingUnderWayWhenADeviceFails) {
  SimulatedDevices devices;
  devices.push_back(std::make_unique<Simulated>(3, 0, 2));
  EXPECT_THROW(run_on(std::move(devices), 100), Failure);
  EXPECT_EQ(g_chunks_finished, 2);
}

TEST(DeviceThreads, EndWhenThereIsNoPlaceLeftAndStopWhileTheyWaitForOne) {
  const float network[] = {0}, noise[net::kNoise] = {};
  for (const bool at_once : {true, false}) {
    NoPlace sink(at_once);
    Profile profile;
    DeviceThreads threads(one_device(), profile);
    threads.begin(network, {{0, 1}}, noise, sink);
    if (at_once) {
      await(threads);
    } else {
      EXPECT_FALSE(threads.done(1000));
      threads.stop();
      EXPECT_TRUE(threads.done(0));
    }
  }
}

TEST(DeviceThreads, ComputeCallAfterCallInTheThreadThatWasAttached) {
  std::vector<Simulated*> peek;
  Devices devices;
  for (int i = 0; i < 3; ++i) {
    auto device = std::make_unique<Simulated>(1 + i, 0);  // which looks at its thread
    peek.push_back(device.get());
    devices.push_back(std::move(device));
  }
  Profile profile;
  DeviceThreads threads(std::move(devices), profile);
  ASSERT_EQ(threads.devices().size(), 3u);
  const std::vector<Share> chunks = plan_chunks({500, 100}, 3, 16);
  const std::vector<float> noise(100 * net::kNoise, 1.0f);
  for (int call = 1; call <= 20; ++call) {
    const float network[] = {float(call)};
    Collect sink(chunks, 600);
    threads.begin(call % 3 == 1 ? network : nullptr, chunks, noise.data(), sink);  // else the one of the call before
    await(threads);
    ASSERT_EQ(sink.seen.size(), chunks.size());
    for (std::size_t i = 500 * net::kFaceFloats; i < sink.result.size(); i += 997)
      ASSERT_EQ(sink.result[i], 1.0f + float(call - (call - 1) % 3));
    for (Simulated* device : peek) device->start_over();
  }
}

// Else its first chunk of a later call would read the network of an array that may be gone.
TEST(DeviceThreads, HaveTheNetworkEvenWhereADeviceGotNoChunk) {
  run_on(simulated(4, 1, 0), 1);
  EXPECT_EQ(g_chunks_finished, 4);
}

TEST(DeviceThreads, PassOnWhatAttachThrew) {
  class Unattachable : public Simulated {
   public:
    Unattachable() : Simulated(1, 1) {}
    void attach() override { throw Failure(kMachine, "no way to this device"); }
  };
  Devices devices = one_device();
  devices.push_back(std::make_unique<Unattachable>());
  Profile profile;
  EXPECT_THROW(DeviceThreads threads(std::move(devices), profile), Failure);
}

TEST(DeviceThreads, AreNoneWithoutDevices) {
  Profile profile;
  DeviceThreads threads({}, profile);
  EXPECT_TRUE(threads.done(0));
  Collect sink({}, 0);
  threads.begin(nullptr, {}, nullptr, sink);
  EXPECT_TRUE(threads.done(0));
}

// ---- Arrays that other ranks map

class Mapped : public ::testing::Test {
 protected:
  float* make() { return root_.make(kFloats, 0, true); }
  // The value at that place of rank 0's, as another rank finds it by its name.
  float seen(const float* place, std::size_t floats) {
    const float* found = other_.place(root_.name(place, floats), floats);
    return found ? *found : std::nanf("");
  }
  static constexpr std::size_t kFloats = 1024;  // a page
  HostArrays root_, other_;
};

TEST_F(Mapped, AreFoundByNameAndSize) {
  float* array = make();
  ASSERT_TRUE(array);
  EXPECT_EQ(root_.name(array, kFloats), 0);  // nobody was told
  ASSERT_TRUE(other_.map(root_.tell()));
  array[3] = 7;
  EXPECT_EQ(seen(array + 3, 1), 7);
  EXPECT_EQ(seen(array + 3, kFloats - 3), 7);
  EXPECT_EQ(root_.name(array + 3, kFloats - 2), 0);
  EXPECT_EQ(root_.name(array + kFloats, 0), 0);
  EXPECT_EQ(root_.name(array - 1, 2), 0);
  float of_the_caller = 0;
  EXPECT_EQ(root_.name(&of_the_caller, 1), 0);
  EXPECT_EQ(other_.place(0, 1), nullptr);
}

// Where one array ends another begins, the earlier one among them.
TEST_F(Mapped, AreToldApartWhereTheyTouch) {
  std::vector<float*> arrays, between;
  for (int i = 0; i < 32; ++i) {
    arrays.push_back(make());
    between.push_back(make());
  }
  for (float* array : between) root_.free(array);  // whose places later ones take
  for (int i = 0; i < 32; ++i) arrays.push_back(make());
  int touching = 0;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    ASSERT_TRUE(arrays[i]);
    arrays[i][0] = float(i);
    for (std::size_t earlier = 0; earlier < i; ++earlier) touching += arrays[earlier] + kFloats == arrays[i];
  }
  if (touching == 0) GTEST_SKIP() << "this system leaves room between mappings";
  ASSERT_TRUE(other_.map(root_.tell()));
  for (std::size_t i = 0; i < arrays.size(); ++i) EXPECT_EQ(seen(arrays[i], kFloats), float(i));
}

TEST_F(Mapped, AreMappedAllOrNone) {
  make();
  std::vector<HostArrays::Told> told = root_.tell();
  told.push_back(told[0]);
  told[1].ticket.name ^= 1;
  EXPECT_FALSE(other_.map(told));
  EXPECT_EQ(other_.place(told[0].name, 1), nullptr);
  EXPECT_FALSE(HostArrays().map({}));
}

}  // namespace
