// Sets of CPUs of any size, and quotas of control groups as a made-up /proc and /sys tell them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/limits.h"
#include "run/cpus.h"
#include "run/numa.h"

namespace {

namespace fs = std::filesystem;

TEST(CpuSet, HoldsAnyCpu) {
  CpuSet set;
  EXPECT_EQ(set.end(), 0);
  for (const int cpu : {3, 63, 64, 1024, 100000}) set.add(cpu);
  for (const int cpu : {3, 63, 64, 1024, 100000}) EXPECT_TRUE(set.has(cpu)) << cpu;
  for (const int cpu : {0, 65, 1023, 99999, 100001, 1 << 20}) EXPECT_FALSE(set.has(cpu)) << cpu;
  EXPECT_EQ(set.end(), 100001);
  CpuSet other;
  for (const int cpu : {100000, 1024, 64, 63}) other.add(cpu);
  EXPECT_FALSE(set == other);
  other.add(3);
  EXPECT_TRUE(set == other);
}

TEST(CpuSet, IsWhatTheKernelKeeps) {
  const CpuSet before = CpuSet::of(0);
  ASSERT_GT(before.end(), 0);
  CpuSet last;
  last.add(before.end() - 1);
  ASSERT_TRUE(last.take());
  EXPECT_TRUE(CpuSet::of(0) == last);
  EXPECT_TRUE(CpuSet::of(getpid()) == last);
  ASSERT_TRUE(CpuSet::all().take());
  for (int cpu = 0; cpu < before.end(); ++cpu) EXPECT_LE(before.has(cpu), CpuSet::of(0).has(cpu)) << cpu;
  ASSERT_TRUE(before.take());
  EXPECT_FALSE(CpuSet().take());
  EXPECT_TRUE(CpuSet::of(0) == before);
}

TEST(CpuLists, GoPastTheFirstThousand) { EXPECT_EQ(parse_cpu_list("1023-1025,5000").back(), 5000); }

class Quota : public ::testing::Test {
 protected:
  void SetUp() override { root_ = fs::path(::testing::TempDir()) / ("cgroup" + std::to_string(getpid())); }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  fs::path root_;
};

TEST_F(Quota, IsTheLeastOfAllGroupsAbove) {
  EXPECT_EQ(cgroup_cpus(root_), 0);  // no /proc
  write("proc/self/cgroup", "0::/job/step");
  EXPECT_EQ(cgroup_cpus(root_), 0);  // no /sys
  write("sys/fs/cgroup/job/step/cpu.max", "max 100000");
  EXPECT_EQ(cgroup_cpus(root_), 0);
  write("sys/fs/cgroup/job/cpu.max", "250000 100000");
  EXPECT_EQ(cgroup_cpus(root_), 2.5);
  write("sys/fs/cgroup/job/step/cpu.max", "400000 100000");
  EXPECT_EQ(cgroup_cpus(root_), 2.5);
  write("sys/fs/cgroup/job/step/cpu.max", "50000 100000");
  EXPECT_EQ(cgroup_cpus(root_), 0.5);
}

TEST_F(Quota, OfVersion1) {
  write("proc/self/cgroup", "9:memory:/x\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/\n0::/");
  write("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1");
  write("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000");
  EXPECT_EQ(cgroup_cpus(root_), 0);
  write("sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "150000");
  EXPECT_EQ(cgroup_cpus(root_), 1.5);
}

TEST_F(Quota, OfAContainerThatIsShownTheHostsPath) {
  write("proc/self/cgroup", "4:cpuset:/\n3:cpu:/docker/1");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000");  // mounted there: the container's own group
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(cgroup_cpus(root_), 3);
}

}  // namespace
