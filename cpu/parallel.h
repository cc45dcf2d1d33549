// The one place where the CPU backend meets OpenMP. Without it, everything runs in the calling thread.
#ifndef FACEGEN_CPU_PARALLEL_H_
#define FACEGEN_CPU_PARALLEL_H_

#ifdef _OPENMP
#include <omp.h>
#endif

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

// How many threads OpenMP grants this process.
inline int granted_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

#endif  // FACEGEN_CPU_PARALLEL_H_
