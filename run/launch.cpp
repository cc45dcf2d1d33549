#include "run/launch.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

namespace {

// Set by mpirun, other launchers by PMI, srun; nullptr without any.
const char* launched_processes_text() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (const char* text = std::getenv(name)) return text;
  }
  return nullptr;
}

}  // namespace

bool launched() { return launched_processes_text() != nullptr; }

int launched_processes() {
  const char* text = launched_processes_text();
  return text ? std::atoi(text) : 1;
}

int launched_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  return 0;
}

int allowed_cpus() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

// mpirun binds each rank to one core when there are few ranks, which would leave a rank that drives a whole node a
// single core for its threads. Where nobody asked for a binding, take every CPU that the scheduler's cpuset allows.
void undo_default_binding() {
  if (!std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("OMPI_MCA_hwloc_base_binding_policy")) return;
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) CPU_SET(cpu, &all);
  sched_setaffinity(0, sizeof all, &all);  // best effort: the kernel keeps to the cpuset
}
