// The GPU side of run/device.h in a build without CUDA: there are no GPUs.
#include "common/failure.h"
#include "run/device.h"

namespace {

[[noreturn]] void no_cuda(int ordinal) {
  throw Failure(kMachine,
                "GPU " + std::to_string(ordinal) +
                    " cannot be used: this build has no CUDA; build where nvcc is on the PATH, or use the CPU");
}

}  // namespace

int count_gpus(std::string* why_not) {
  if (why_not) *why_not = "this build has no CUDA";
  return 0;
}

std::int64_t gpu_id(int ordinal) { no_cuda(ordinal); }

std::unique_ptr<Device> open_gpu(int ordinal) { no_cuda(ordinal); }

bool pin(void*, std::size_t) { return true; }

void unpin(void*) {}

const char* gpu_about() { return "no CUDA"; }
