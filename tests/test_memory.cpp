// Host memory beside its GPU and between processes: NUMA nodes as a made-up /sys tells them, memory that another
// process opens, GPU faults to be rehearsed.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/failure.h"
#include "common/limits.h"
#include "run/fault.h"
#include "run/host_memory.h"
#include "run/numa.h"

namespace {

namespace fs = std::filesystem;

// ---- NUMA

TEST(Numa, ReadsListsOfCpus) {
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11"), (std::vector<int>{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("5"), (std::vector<int>{5}));
  for (const char* bad : {"", "-1", "x", "3-1", "1-", "1x", "0-99999999"})
    EXPECT_TRUE(parse_cpu_list(bad).empty()) << bad;
}

// Two sockets of four CPUs, a GPU on each, one that hangs on none, and one whose node is not told.
class FakeSystem : public ::testing::Test {
 protected:
  void SetUp() override {
    unsetenv("FACEGEN_NUMA");
    root_ = fs::path(::testing::TempDir()) / ("numa" + std::to_string(getpid()));
    write("devices/system/node/online", "0-1");
    write("devices/system/node/node0/cpulist", "0-1,4-5");
    write("devices/system/node/node1/cpulist", "2-3,6-7");
    write("bus/pci/devices/0000:17:00.0/numa_node", "0");
    write("bus/pci/devices/0000:ca:00.0/numa_node", "1");
    write("bus/pci/devices/0000:e3:00.0/numa_node", "-1");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_ / "sys" / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  fs::path root_;
};

TEST_F(FakeSystem, TellsTheNodeOfAGpu) {
  const NumaPlace first = numa_place("0000:17:00.0", root_), second = numa_place("0000:CA:00.0", root_);
  EXPECT_EQ(first.node, 0);
  EXPECT_EQ(first.cpus, (std::vector<int>{0, 1, 4, 5}));
  EXPECT_EQ(second.node, 1);  // CUDA writes bus ids in capitals, the system does not
  EXPECT_EQ(second.cpus, (std::vector<int>{2, 3, 6, 7}));
  EXPECT_EQ(nodes_of(first) | nodes_of(second), NumaNodes(3));
}

TEST_F(FakeSystem, TellsNothingThatItDoesNotKnow) {
  for (const char* device : {"0000:e3:00.0", "0000:99:00.0", ""}) {
    EXPECT_EQ(numa_place(device, root_).node, -1) << device;
    EXPECT_EQ(nodes_of(numa_place(device, root_)), NumaNodes(0));
  }
  EXPECT_EQ(numa_place("0000:17:00.0", root_ / "nowhere").node, -1);

  setenv("FACEGEN_NUMA", "0", 1);
  EXPECT_EQ(numa_place("0000:17:00.0", root_).node, -1);
  unsetenv("FACEGEN_NUMA");

  write("devices/system/node/online", "0");  // one node: nothing to choose
  EXPECT_EQ(numa_place("0000:17:00.0", root_).node, -1);
}

std::vector<int> my_cpus() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(Numa, KeepsAThreadToTheCpusThatItMayUse) {
  const std::vector<int> all = my_cpus();
  const int forbidden = all.back() + 1;
  std::thread([&] {
    run_at({-1, {all[0]}});  // unknown place
    EXPECT_EQ(my_cpus(), all);
    run_at({1, {forbidden}});  // nothing of it is ours
    EXPECT_EQ(my_cpus(), all);
    {
      const StayAt stay({1, {all.back(), forbidden}});
      EXPECT_EQ(my_cpus(), std::vector<int>{all.back()});
    }
    EXPECT_EQ(my_cpus(), all);
    run_at({1, {all[0], forbidden}});
    EXPECT_EQ(my_cpus(), std::vector<int>{all[0]});
  }).join();
  EXPECT_EQ(my_cpus(), all);  // other threads stay where they are
}

// ---- Memory to be had

class FakeMemory : public ::testing::Test {
 protected:
  void SetUp() override { root_ = fs::path(::testing::TempDir()) / ("memory" + std::to_string(getpid())); }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  std::int64_t available(Swap swap = kNoSwap) { return available_memory(swap, root_.string()); }
  fs::path root_;
};

TEST_F(FakeMemory, IsWhatTheMachineHasLeft) {
  write("proc/meminfo", "MemTotal: 900 kB\nMemAvailable:     500 kB\nSwapFree:  70 kB");
  EXPECT_EQ(available(), 500 << 10);
  EXPECT_EQ(available(kSwapToo), 570 << 10);
}

TEST_F(FakeMemory, IsWhatTheTightestGroupLeaves) {
  write("proc/meminfo", "MemAvailable: 500000 kB");
  write("proc/self/cgroup", "0::/job/step");
  write("sys/fs/cgroup/job/step/memory.max", "max");
  write("sys/fs/cgroup/job/step/memory.current", "100000");
  write("sys/fs/cgroup/job/memory.max", "300000");
  write("sys/fs/cgroup/job/memory.current", "200000");
  write("sys/fs/cgroup/job/memory.stat", "anon 120000\nactive_file 30000\ninactive_file 20000");
  EXPECT_EQ(available(), 300000 - 200000 + 50000);
  write("sys/fs/cgroup/job/step/memory.high", "90000");
  EXPECT_EQ(available(), 0);
}

TEST_F(FakeMemory, KnowsGroupsOfVersion1) {
  write("proc/meminfo", "MemAvailable: 500000 kB");
  write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/abc\n0::/");  // the host's path, in a container
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "200000");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "90000");
  write("sys/fs/cgroup/memory/memory.stat", "cache 999\ntotal_active_file 5000\ntotal_inactive_file 7000");
  EXPECT_EQ(available(), 200000 - 90000 + 12000);
}

TEST_F(FakeMemory, EndsAtThisProcessOwnLimit) {
  write("proc/meminfo", "MemAvailable: 1000000000 kB");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit small = before;
  small.rlim_cur = rlim_t(64) << 30;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &small), 0);
  EXPECT_GT(available(), 0);
  EXPECT_LT(available(), std::int64_t(64) << 30);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
}

// ---- Memory between processes

constexpr std::size_t kBytes = (std::size_t(3) << 20) + 12345;

TEST(HostMemory, IsZeroedAndOnesOwn) {
  for (const NumaNodes nodes : {NumaNodes(0), NumaNodes(1)}) {
    const auto memory = HostMemory::make(kBytes, nodes, false);
    ASSERT_NE(memory, nullptr);
    ASSERT_EQ(memory->bytes(), kBytes);
    char* bytes = static_cast<char*>(memory->data());
    for (std::size_t i = 0; i < kBytes; ++i) ASSERT_EQ(bytes[i], 0);
    std::memset(bytes, 1, kBytes);
    EXPECT_EQ(HostMemory::open(memory->ticket()), nullptr);
  }
}

TEST(HostMemory, IsSeenByAnotherProcess) {
  const auto memory = HostMemory::make(kBytes, 0, true);
  ASSERT_NE(memory, nullptr);
  int* values = static_cast<int*>(memory->data());
  values[7] = 41;
  const HostMemory::Ticket ticket = memory->ticket();
  const pid_t child = fork();
  if (child == 0) {
    const auto same = HostMemory::open(ticket);
    if (!same || same->bytes() != kBytes) _exit(1);
    int* seen = static_cast<int*>(same->data());
    if (seen == values || seen[7] != 41) _exit(2);
    seen[8] = 42;
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(values[8], 42);
}

TEST(HostMemory, IsNotMistakenForAnother) {
  const auto memory = HostMemory::make(kBytes, 0, true);
  ASSERT_NE(memory, nullptr);
  HostMemory::Ticket ticket = memory->ticket();
  ticket.name ^= 1;
  EXPECT_EQ(HostMemory::open(ticket), nullptr);
  ticket = memory->ticket();
  ticket.file = 0;
  EXPECT_EQ(HostMemory::open(ticket), nullptr);
  ticket = memory->ticket();
  ticket.process = 1 << 30;
  EXPECT_EQ(HostMemory::open(ticket), nullptr);
}

TEST(HostMemory, ThatCannotBeHadIsNone) {
  EXPECT_EQ(HostMemory::make(std::size_t(1) << 50, 0, false), nullptr);
  EXPECT_EQ(HostMemory::make(std::size_t(1) << 62, 0, true), nullptr);
}

// ---- Faults

TEST(Fault, NamesAGpuAndAChunk) {
  unsetenv("FACEGEN_FAIL_GPU");
  EXPECT_EQ(chunk_that_fails(0), 0);
  setenv("FACEGEN_FAIL_GPU", "1:5", 1);
  EXPECT_EQ(chunk_that_fails(0), 0);
  EXPECT_EQ(chunk_that_fails(1), 5);
  for (const char* bad : {"1", "1:", "1:0", "-1:2", "1:2x", "a:b"}) {
    setenv("FACEGEN_FAIL_GPU", bad, 1);
    EXPECT_THROW(chunk_that_fails(0), Failure) << bad;
  }
  unsetenv("FACEGEN_FAIL_GPU");
}

}  // namespace
