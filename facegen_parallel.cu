// The parallel program, as the story of one run: ranks -> devices -> chunks -> layers -> host.
//
//   ranks     rank 0 broadcasts the network and sends every rank its share of the noise        run/ranks.h
//             (no more than what its devices compute and its link carries)                     run/team.h
//   devices   each rank drives the GPUs of its node that are its own, or else its CPU cores    run/device.h
//   chunks    a device takes the next chunk of its rank's share whenever it has a free slot    run/device_threads.h
//   layers    proj and four transposed convolutions over a chunk of faces                      kernels/, cpu/
//   host      finished chunks go straight to their place in rank 0's result array, while       run/sinks.h
//             others compute: ranks of rank 0's node compute into it, others send              run/host_arrays.h
//
// On devices of one kind, a face is computed by the same sums in the same order whichever of them computes it and
// whatever chunk it comes in, so the result does not depend on the number of ranks, devices or chunks.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>

#include "common/failure.h"  // defines: Failure
#include "facegen_hooks.h"   // declares the functions below, and facegen.h's
#include "run/device.h"      // defines: gpu_about, cpu_about
#include "run/ranks.h"       // defines: rank_place, end_job, mpi_library
#include "run/run.h"         // defines: Run

namespace {

// From facegen_configure or facegen_init to facegen_fin; nothing else of a run lasts from call to call.
std::unique_ptr<Run> g_run;

Run& the_run() {
  if (!g_run) g_run = std::make_unique<Run>(nullptr);
  return *g_run;
}

// A driver that knows facegen_hooks.h catches what goes wrong. Any other may be a C program, out of which nothing can be
// thrown: there the sentence is said here, and the whole job ends.
template <typename Work>
void guarded(Work work) {
  if (g_run && g_run->driver_has_hooks()) return work();
  ExitStatus status = kMachine;
  std::string sentence;
  try {
    return work();
  } catch (const Failure& failure) {
    status = failure.status();
    sentence = failure.what();
  } catch (const std::exception& error) {
    sentence = error.what();
  }
  const std::string place = rank_place();
  std::fflush(stdout);  // what the driver said so far
  std::fprintf(stderr, "facegen: %s%s%s\n", place.c_str(), place.empty() ? "" : ": ", sentence.c_str());
  end_job(status);
}

}  // namespace

// ---- facegen.h: the course's

extern "C" void facegen_init() {
  guarded([] { the_run().start(); });
}

extern "C" void facegen(int num_to_gen, float* network, float* inputs, float* outputs) {
  guarded([=] { the_run().compute(num_to_gen, network, inputs, outputs); });
}

extern "C" void facegen_fin() {
  guarded([] { g_run.reset(); });
}

// ---- facegen_hooks.h: for a driver that knows more

extern "C" int facegen_configure(const struct facegen_options* options) {
  g_run = std::make_unique<Run>(options);
  return 1;
}
extern "C" void facegen_share(void) { the_run().share(); }
extern "C" float* facegen_alloc(size_t floats) { return the_run().alloc(floats); }
extern "C" void facegen_free(float* memory) { the_run().free(memory); }
extern "C" int facegen_batch_faces(void) { return the_run().batch_faces(); }

extern "C" const char* facegen_note(void) {
  const std::string& note = the_run().note();
  return note.empty() ? nullptr : note.c_str();
}

extern "C" const char* facegen_about(void) {
  static const std::string about =
      std::string(gpu_about()) + ", " + cpu_about() + ", " + (mpi_library().empty() ? "no MPI" : mpi_library());
  return about.c_str();
}
