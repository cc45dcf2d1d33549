// In facegen_custom alone (make custom), in front of the MPI library: the unit may start and end MPI itself, as it would
// behind a driver that knows no MPI. Ours has started MPI by then and ends it after facegen_fin (ranks_mpi.cpp), so a
// second start succeeds and an end waits for the driver's. MPI_Initialized and MPI_Finalized tell what is.
#include <mpi.h>

// Tells ranks_start that MPI is wanted in a job of one as well.
extern "C" void facegen_unit_may_speak_mpi() {}

// The driver's own call comes here first: whatever a unit may ask for later on has to be granted now.
extern "C" int MPI_Init_thread(int* argc, char*** argv, int, int* provided) {
  int running = 0;
  PMPI_Initialized(&running);
  return running ? PMPI_Query_thread(provided) : PMPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, provided);
}

extern "C" int MPI_Init(int* argc, char*** argv) {
  int provided = 0;
  return MPI_Init_thread(argc, argv, MPI_THREAD_SINGLE, &provided);
}

extern "C" int MPI_Finalize() { return MPI_SUCCESS; }
