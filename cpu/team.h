// The one place where the CPU backend meets OpenMP. Without it, everything runs in the calling thread.
#ifndef FACEGEN_CPU_TEAM_H_
#define FACEGEN_CPU_TEAM_H_

#ifdef _OPENMP
#include <omp.h>
#endif

// How many threads a team of `wanted` will have: OMP_THREAD_LIMIT may allow fewer, and without OpenMP there is one.
int team_size(int wanted);

// Starts the calling thread's team, which stays for parallel_team. Throws Failure (kMachine) where the system does not
// grant so many threads.
void start_team(int threads);

// Calls body(thread, team) once on each thread of a team of up to `threads`.
template <class Body>
void parallel_team(int threads, const Body& body) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
  body(omp_get_thread_num(), omp_get_num_threads());
#else
  (void)threads;
  body(0, 1);
#endif
}

#endif  // FACEGEN_CPU_TEAM_H_
