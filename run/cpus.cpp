#include "run/cpus.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

namespace {

constexpr int kWordBits = CHAR_BIT * sizeof(unsigned long);

}  // namespace

CpuSet CpuSet::of(pid_t process) {
  CpuSet set;
  for (std::size_t words = 1024 / kWordBits; words <= std::size_t(kMost) / kWordBits; words *= 2) {
    set.bits_.assign(words, 0);
    auto* bits = reinterpret_cast<cpu_set_t*>(set.bits_.data());
    if (sched_getaffinity(process, words * sizeof(unsigned long), bits) == 0) return set;
    if (errno != EINVAL) break;  // EINVAL: the kernel's sets are larger
  }
  return CpuSet();
}

CpuSet CpuSet::all() {
  CpuSet set = of(0);
  std::fill(set.bits_.begin(), set.bits_.end(), ~0ul);
  return set;
}

bool CpuSet::has(int cpu) const {
  const std::size_t word = std::size_t(cpu) / kWordBits;
  return word < bits_.size() && (bits_[word] >> (cpu % kWordBits) & 1) != 0;
}

void CpuSet::add(int cpu) {
  const std::size_t word = std::size_t(cpu) / kWordBits;
  if (word >= bits_.size()) bits_.resize(word + 1);
  bits_[word] |= 1ul << (cpu % kWordBits);
}

int CpuSet::end() const {
  int end = int(bits_.size()) * kWordBits;
  while (end > 0 && !has(end - 1)) --end;
  return end;
}

bool CpuSet::operator==(const CpuSet& other) const {
  bool same = end() == other.end();
  for (int cpu = 0; same && cpu < end(); ++cpu) same = has(cpu) == other.has(cpu);
  return same;
}

bool CpuSet::take() const {
  const auto* bits = reinterpret_cast<const cpu_set_t*>(bits_.data());
  return sched_setaffinity(0, bits_.size() * sizeof(unsigned long), bits) == 0;
}

int requested_threads() {
  long least = INT_MAX;
  for (const char* name : {"OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "SLURM_CPUS_PER_TASK"}) {
    const char* text = std::getenv(name);
    const long value = text ? std::strtol(text, nullptr, 10) : 0;  // "4,2": 4 threads, and 2 within each
    if (value > 0) least = std::min(least, value);
  }
  return int(least);
}
