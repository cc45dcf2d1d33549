// A rehearsed fault: FACEGEN_FAIL_GPU="1:5" takes GPU 1 away in its fifth chunk, so that the way a run ends then can be
// tested on a machine whose GPUs are all well.
#ifndef FACEGEN_RUN_FAULT_H_
#define FACEGEN_RUN_FAULT_H_

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/failure.h"

// The chunk, from 1, in which the GPU of that ordinal is to fail; 0: in none.
inline int chunk_that_fails(int ordinal) {
  const char* text = std::getenv("FACEGEN_FAIL_GPU");
  if (!text || !*text) return 0;
  int gpu = 0, chunk = 0;
  char surplus = 0;
  if (std::sscanf(text, "%d:%d%c", &gpu, &chunk, &surplus) != 2 || gpu < 0 || chunk < 1) {
    throw Failure(kUsage, "FACEGEN_FAIL_GPU='" + std::string(text) +
                              "' says no GPU and chunk, such as 1:5; unset it where no fault is to be tested");
  }
  return gpu == ordinal ? chunk : 0;
}

#endif  // FACEGEN_RUN_FAULT_H_
