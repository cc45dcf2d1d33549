// The files of a run, and what can be wrong with their names: found before anything is read or computed.
#ifndef FACEGEN_DRIVER_FILES_H_
#define FACEGEN_DRIVER_FILES_H_

#include "driver/options.h"

// Throws Failure (kUsage) for a name that cannot be meant: empty, "-" twice, an output's ending that stands for a format
// that is not written there. Looks at no file.
void check_names(const Options& options);

// Throws Failure (kUsage) where two outputs, or an output and an input, are one file.
void check_one_file_each(const Options& options);

#endif  // FACEGEN_DRIVER_FILES_H_
