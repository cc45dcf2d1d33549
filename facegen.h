/* The course's interface: three functions, implemented by facegen_seq.cpp and facegen_parallel.cu, or by anybody's own
 * unit (`make custom`), and called by a driver: main.cpp, or anybody's own. What ours offer a driver beyond these stands
 * in facegen_hooks.h. Includable from C, C++ and CUDA. */
#ifndef FACEGEN_H_
#define FACEGEN_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Sets up the programming models (CUDA contexts, memory, threads); not timed. Called on every rank. */
void facegen_init();

/* Computes num_to_gen faces; timed. Called on every rank with the same num_to_gen.
 *   network  5,137,283 parameters in the order of network.bin
 *   inputs   (num_to_gen, 100) noise
 *   outputs  (num_to_gen, 64, 64, 3) faces, complete on rank 0 when its call returns
 * Rank 0 holds the data. The other ranks may pass arrays of the same sizes, or NULL. */
void facegen(int num_to_gen, float* network, float* inputs, float* outputs);

/* Gives back what facegen_init took. Called on every rank. */
void facegen_fin();

#ifdef __cplusplus
}
#endif

#endif /* FACEGEN_H_ */
