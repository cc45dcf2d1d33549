// What the launcher (mpirun, srun) told this process before MPI is asked, and which CPUs it left to it.
#ifndef FACEGEN_RUN_LAUNCH_H_
#define FACEGEN_RUN_LAUNCH_H_

#include "run/cpus.h"

int launched_processes();  // this process is one of so many; 1 where nobody launched it
int launched_rank();       // and has this number; 0 in a job of one
bool launched();           // there was a launcher
bool launched_with_mpi();  // it started several processes, which MPI lets find each other

// mpirun binds ranks to a core each where there are few, and nobody has to ask for it: a rank that drives a whole node
// would have a single core for its threads.
enum class Binding {
  kNone,     // mpirun keeps no CPU from this process
  kDefault,  // it does, and nobody asked for it
  kAsked,    // somebody did: an option of mpirun, a variable, a file of parameters
  kUnknown,  // nothing here tells: mpirun runs on another node
};
Binding mpirun_binding();

// The process of mpirun, or of its daemon on this node, above this one; 0 where there is none to be seen.
int daemon_process();
bool process_ended(int process);

// Its CPUs: what this process would have without a binding. All that the kernel allows where they are not to be seen (in
// a container that hides other processes).
CpuSet daemon_cpus();

#endif  // FACEGEN_RUN_LAUNCH_H_
