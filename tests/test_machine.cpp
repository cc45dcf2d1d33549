// What a machine has and grants, as a made-up /proc and /sys tell it: sets of CPUs, NUMA nodes, quotas and memory of
// control groups. Memory that another process opens; GPU faults to be rehearsed.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

#include "common/failure.h"
#include "common/limits.h"
#include "run/cpus.h"
#include "run/fault.h"
#include "run/host_memory.h"
#include "run/numa.h"
#include "tests/support.h"

namespace {

using Cpus = std::vector<int>;

// ---- CPUs

CpuSet set_of(const Cpus& cpus) {
  CpuSet set;
  for (const int cpu : cpus) set.add(cpu);
  return set;
}

Cpus my_cpus() {
  Cpus cpus;
  const CpuSet mine = CpuSet::of(0);
  for (int cpu = 0; cpu < mine.end(); ++cpu) {
    if (mine.has(cpu)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(CpuSet, HoldsAnyCpu) {
  EXPECT_EQ(CpuSet().end(), 0);
  const Cpus cpus = {3, 63, 64, 1024, 100000};
  const CpuSet set = set_of(cpus);
  for (const int cpu : cpus) EXPECT_TRUE(set.has(cpu)) << cpu;
  for (const int cpu : {0, 65, 1023, 99999, 100001, 1 << 20}) EXPECT_FALSE(set.has(cpu)) << cpu;
  EXPECT_EQ(set.end(), 100001);
  EXPECT_FALSE(set_of({100000, 1024, 64, 63}) == set);
  EXPECT_TRUE(set_of({100000, 1024, 64, 63, 3}) == set);
}

TEST(CpuSet, IsWhatTheKernelKeeps) {
  const CpuSet before = CpuSet::of(0);
  cpu_set_t kernels;
  ASSERT_EQ(sched_getaffinity(0, sizeof kernels, &kernels), 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) ASSERT_EQ(before.has(cpu), CPU_ISSET(cpu, &kernels) != 0) << cpu;
  const CpuSet last = set_of({before.end() - 1});
  ASSERT_TRUE(last.take());
  EXPECT_TRUE(CpuSet::of(0) == last);
  EXPECT_TRUE(CpuSet::of(getpid()) == last);
  ASSERT_TRUE(CpuSet::all().take());
  for (int cpu = 0; cpu < before.end(); ++cpu) EXPECT_LE(before.has(cpu), CpuSet::of(0).has(cpu)) << cpu;
  ASSERT_TRUE(before.take());
  EXPECT_FALSE(CpuSet().take());
  EXPECT_TRUE(CpuSet::of(0) == before);
}

TEST(CpuSet, IsReadFromAList) {
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11"), (Cpus{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("5"), Cpus{5});
  EXPECT_EQ(parse_cpu_list("1023-1025,5000"), (Cpus{1023, 1024, 1025, 5000}));
  for (const char* bad : {"", "-1", "x", "3-1", "1-", "1x", "0-99999999"})
    EXPECT_TRUE(parse_cpu_list(bad).empty()) << bad;
}

class Quota : public FileTest {
 protected:
  double cpus() const { return cgroup_cpus(folder_); }
};

TEST_F(Quota, IsTheLeastOfAllGroupsAbove) {
  EXPECT_EQ(cpus(), 0);  // no /proc
  put("proc/self/cgroup", "0::/job/step");
  EXPECT_EQ(cpus(), 0);  // no /sys
  put("sys/fs/cgroup/job/step/cpu.max", "max 100000");
  EXPECT_EQ(cpus(), 0);
  put("sys/fs/cgroup/job/cpu.max", "250000 100000");
  EXPECT_EQ(cpus(), 2.5);
  put("sys/fs/cgroup/job/step/cpu.max", "400000 100000");
  EXPECT_EQ(cpus(), 2.5);
  put("sys/fs/cgroup/job/step/cpu.max", "50000 100000");
  EXPECT_EQ(cpus(), 0.5);
}

TEST_F(Quota, OfVersion1) {
  put("proc/self/cgroup", "9:memory:/x\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/\n0::/");
  put("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1");
  put("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000");
  EXPECT_EQ(cpus(), 0);
  put("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "150000");
  EXPECT_EQ(cpus(), 1.5);
}

TEST_F(Quota, OfAContainerThatIsShownTheHostsPath) {
  put("proc/self/cgroup", "4:cpuset:/\n3:cpu:/docker/1");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000");  // mounted there: the container's own group
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(cpus(), 3);
}

// ---- NUMA: two sockets of four CPUs, a GPU on each, one that hangs on none, and one whose node is not told

class Numa : public FileTest {
 protected:
  Numa() {
    put("sys/devices/system/node/online", "0-1");
    put("sys/devices/system/node/node0/cpulist", "0-1,4-5");
    put("sys/devices/system/node/node1/cpulist", "2-3,6-7");
    put("sys/bus/pci/devices/0000:17:00.0/numa_node", "0");
    put("sys/bus/pci/devices/0000:ca:00.0/numa_node", "1");
    put("sys/bus/pci/devices/0000:e3:00.0/numa_node", "-1");
  }
  NumaPlace place(const char* device) const { return numa_place(device, folder_); }
  const Variable numa_{"FACEGEN_NUMA", nullptr};
};

TEST_F(Numa, TellsTheNodeOfAGpu) {
  const NumaPlace first = place("0000:17:00.0"), second = place("0000:CA:00.0");
  EXPECT_EQ(first.node, 0);
  EXPECT_EQ(first.cpus, (Cpus{0, 1, 4, 5}));
  EXPECT_EQ(second.node, 1);  // CUDA writes bus ids in capitals, the system does not
  EXPECT_EQ(second.cpus, (Cpus{2, 3, 6, 7}));
  EXPECT_EQ(nodes_of(first) | nodes_of(second), NumaNodes(3));
}

TEST_F(Numa, TellsNothingThatItDoesNotKnow) {
  for (const char* device : {"0000:e3:00.0", "0000:99:00.0", ""}) {
    EXPECT_EQ(place(device).node, -1) << device;
    EXPECT_EQ(nodes_of(place(device)), NumaNodes(0));
  }
  EXPECT_EQ(numa_place("0000:17:00.0", path("nowhere")).node, -1);
  {
    const Variable off("FACEGEN_NUMA", "0");
    EXPECT_EQ(place("0000:17:00.0").node, -1);
  }
  put("sys/devices/system/node/online", "0");  // one node: nothing to choose
  EXPECT_EQ(place("0000:17:00.0").node, -1);
}

TEST_F(Numa, KeepsAThreadToTheCpusThatItMayUse) {
  const Cpus all = my_cpus();
  const int forbidden = all.back() + 1;
  std::thread([&] {
    run_at({-1, {all[0]}});  // unknown place
    EXPECT_EQ(my_cpus(), all);
    run_at({1, {forbidden}});  // nothing of it is ours
    EXPECT_EQ(my_cpus(), all);
    {
      const StayAt stay({1, {all.back(), forbidden}});
      EXPECT_EQ(my_cpus(), Cpus{all.back()});
    }
    EXPECT_EQ(my_cpus(), all);
    run_at({1, {all[0], forbidden}});
    EXPECT_EQ(my_cpus(), Cpus{all[0]});
  }).join();
  EXPECT_EQ(my_cpus(), all);  // other threads stay where they are
}

// ---- Memory to be had

class Available : public FileTest {
 protected:
  std::int64_t available(Swap swap = kNoSwap) { return available_memory(swap, folder_); }
};

TEST_F(Available, IsWhatTheMachineHasLeft) {
  put("proc/meminfo", "MemTotal: 900 kB\nMemAvailable:     500 kB\nSwapFree:  70 kB");
  EXPECT_EQ(available(), 500 << 10);
  EXPECT_EQ(available(kSwapToo), 570 << 10);
}

TEST_F(Available, IsWhatTheTightestGroupLeaves) {
  put("proc/meminfo", "MemAvailable: 500000 kB");
  put("proc/self/cgroup", "0::/job/step");
  put("sys/fs/cgroup/job/step/memory.max", "max");
  put("sys/fs/cgroup/job/step/memory.current", "100000");
  put("sys/fs/cgroup/job/memory.max", "300000");
  put("sys/fs/cgroup/job/memory.current", "200000");
  put("sys/fs/cgroup/job/memory.stat", "anon 120000\nactive_file 30000\ninactive_file 20000");
  EXPECT_EQ(available(), 300000 - 200000 + 50000);
  put("sys/fs/cgroup/job/step/memory.high", "90000");
  EXPECT_EQ(available(), 0);
}

TEST_F(Available, KnowsGroupsOfVersion1) {
  put("proc/meminfo", "MemAvailable: 500000 kB");
  put("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/abc\n0::/");  // the host's path, in a container
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "200000");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "90000");
  put("sys/fs/cgroup/memory/memory.stat", "cache 999\ntotal_active_file 5000\ntotal_inactive_file 7000");
  EXPECT_EQ(available(), 200000 - 90000 + 12000);
}

TEST_F(Available, EndsAtThisProcessOwnLimit) {
  put("proc/meminfo", "MemAvailable: 1000000000 kB");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  const rlimit small = {rlim_t(64) << 30, before.rlim_max};
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
  EXPECT_EQ(HostMemory::make(std::size_t(1) << 50, 0, false), nullptr);  // what cannot be had is none
  EXPECT_EQ(HostMemory::make(std::size_t(1) << 62, 0, true), nullptr);
}

TEST(HostMemory, IsSeenByAnotherProcessAndNotMistakenForAnother) {
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

  HostMemory::Ticket name = ticket, file = ticket, process = ticket;
  name.name ^= 1;
  file.file = 0;
  process.process = 1 << 30;
  for (const HostMemory::Ticket& wrong : {name, file, process}) EXPECT_EQ(HostMemory::open(wrong), nullptr);
}

TEST(Fault, NamesAGpuAndAChunk) {
  const Variable none("FACEGEN_FAIL_GPU", nullptr);
  EXPECT_EQ(chunk_that_fails(0), 0);
  const Variable good("FACEGEN_FAIL_GPU", "1:5");
  EXPECT_EQ(chunk_that_fails(0), 0);
  EXPECT_EQ(chunk_that_fails(1), 5);
  for (const char* text : {"1", "1:", "1:0", "-1:2", "1:2x", "a:b"}) {
    const Variable bad("FACEGEN_FAIL_GPU", text);
    EXPECT_THROW(chunk_that_fails(0), Failure) << text;
  }
}

}  // namespace
