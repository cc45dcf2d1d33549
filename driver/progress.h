// One line on standard error while a long run computes: faces done, faces/s, time left. Only on a terminal.
#ifndef FACEGEN_DRIVER_PROGRESS_H_
#define FACEGEN_DRIVER_PROGRESS_H_

#include <cstdint>

void progress_start(std::int64_t faces, bool quiet);  // of the whole run
void progress_within_batch(int faces_done);           // so many of the batch that is being computed
void progress_batch_done(std::int64_t faces);         // that batch had so many
void progress_end();                                  // takes the line away

#endif  // FACEGEN_DRIVER_PROGRESS_H_
