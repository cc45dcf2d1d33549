// What units written for the course's skeleton may expect of their driver beside facegen.h.
#ifndef FACEGEN_DRIVER_COURSE_GLOBALS_H_
#define FACEGEN_DRIVER_COURSE_GLOBALS_H_

#include <cstdint>

// Tells the unit, which may size its buffers in facegen_init, of how many faces the run is. Called on every rank before
// facegen_init.
void set_course_globals(std::int64_t faces, int rank, int ranks);

#endif  // FACEGEN_DRIVER_COURSE_GLOBALS_H_
