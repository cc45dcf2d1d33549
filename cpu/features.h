// What this CPU runs, and what its operating system lets this process use.
#ifndef FACEGEN_CPU_FEATURES_H_
#define FACEGEN_CPU_FEATURES_H_

bool cpu_runs_avx2();
bool cpu_runs_avx512();
bool cpu_runs_amx();  // asks Linux for the permission, which the whole process then has

#endif  // FACEGEN_CPU_FEATURES_H_
