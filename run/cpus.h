// Which CPUs a process may run on, and how many threads it is granted.
#ifndef FACEGEN_RUN_CPUS_H_
#define FACEGEN_RUN_CPUS_H_

#include <sys/types.h>

#include <cstddef>
#include <vector>

// A set of CPUs, of any number: the C library's cpu_set_t ends at 1,024, and the kernel refuses a set that is smaller
// than its own.
class CpuSet {
 public:
  static constexpr int kMost = 1 << 20;  // CPUs: no kernel has more

  static CpuSet of(pid_t process);  // that it may run on; 0: the calling thread. Empty where nobody tells.
  static CpuSet all();              // as many as the kernel knows

  bool has(int cpu) const;
  void add(int cpu);
  int end() const;  // one past the last CPU; 0: empty
  bool operator==(const CpuSet& other) const;

  // Keeps the calling thread, and those that it will start, to this set. False where the kernel would not have it.
  bool take() const;

 private:
  std::vector<unsigned long> bits_;
};

// The least of what OMP_NUM_THREADS, OMP_THREAD_LIMIT and SLURM_CPUS_PER_TASK say; INT_MAX where they say nothing.
int requested_threads();

#endif  // FACEGEN_RUN_CPUS_H_
