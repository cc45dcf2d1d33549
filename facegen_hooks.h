/* What a computing unit may offer our driver (main.cpp) beyond the course's three functions. A unit that defines none of
 * these links as well: driver/hooks.cpp has a weak default for each. */
#ifndef FACEGEN_HOOKS_H_
#define FACEGEN_HOOKS_H_

#include <stddef.h>

#include "facegen.h"

#ifdef __cplusplus
extern "C" {
#endif

struct facegen_options {
  const char* devices; /* NULL: every visible GPU, else the CPU; "all", "none", or a list such as "0,2" */
  int threads;         /* CPU threads a rank; 0: what the scheduler or OpenMP grants */
  /* Called now and then on rank 0 while facegen computes, with progress_of; may be NULL. */
  void (*progress)(void* progress_of, int faces_done);
  void* progress_of;
  struct Profile* profile; /* common/profile.h: where this rank's time went; may be NULL */
};

/* What the command line asked for, until facegen_fin. Called before facegen_init; all that it points to stays until then.
 * Returns 1 where the unit heeds devices and threads, else 0. A driver that calls this catches what the functions here and
 * in facegen.h throw (common/failure.h). For any other, which may be written in C, they say what went wrong on standard
 * error and end the whole job. */
int facegen_configure(const struct facegen_options* options);

/* Host memory for `floats` floats that this unit transfers fastest (pinned, say), or NULL when there is none.
 * Called after facegen_init; everything is given back by facegen_free before facegen_fin. */
float* facegen_alloc(size_t floats);
void facegen_free(float* memory);

/* Called on every rank once rank 0 has its arrays; not timed. The unit may tell the other ranks where they are. */
void facegen_share(void);

/* The most faces that this unit would like in one call; known before facegen_init. Where it is not 0, facegen may be
 * called several times: after the first call network is then NULL, which means the network of the call before, and
 * ranks other than 0 pass NULL for all three arrays. 0: one call for all faces. */
int facegen_batch_faces(void);

/* Where it is not 0, no call of facegen gets more faces than that, and each gets the network: for a unit that tells
 * nothing of its progress itself. */
int facegen_call_faces(void);

/* One sentence that the user should know after facegen_init ("no GPU is visible: computing on the CPU"), or NULL. */
const char* facegen_note(void);

/* What was built in, in a few words: "CUDA 13.0 (sm_90a), MPI, OpenMP". */
const char* facegen_about(void);

#ifdef __cplusplus
}
#endif

#endif /* FACEGEN_HOOKS_H_ */
