// What the launcher (mpirun, srun) told this process before MPI is asked, and the CPUs that it left to it.
#ifndef FACEGEN_RUN_LAUNCH_H_
#define FACEGEN_RUN_LAUNCH_H_

bool launched();              // there was a launcher
int launched_processes();     // this process is one of so many
int launched_rank();          // and has this number
void undo_default_binding();  // takes back the CPUs that mpirun keeps away by default
int allowed_cpus();           // CPUs that this process may run on

#endif  // FACEGEN_RUN_LAUNCH_H_
