#include "cpu/features.h"

#ifdef __x86_64__

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

bool cpu_runs_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool cpu_runs_avx512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma"); }

namespace {

// The CPU has tiles of bf16, and the operating system saves and restores them with a thread.
bool has_bf16_tiles() {
  constexpr unsigned kOsXsave = 1u << 27;                 // leaf 1, ecx: XGETBV may be used
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;  // leaf 7, edx
  constexpr unsigned kTileState = 3u << 17;               // XCR0: tile configuration and tile data
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & kOsXsave)) return false;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(edx & kBf16) || !(edx & kTile)) return false;
  __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return (eax & kTileState) == kTileState;
}

// Tile data is 8 KiB a thread, which Linux reserves only for processes that ask.
bool may_use_tiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool cpu_runs_amx() {
  static const bool runs = cpu_runs_avx512() && has_bf16_tiles() && may_use_tiles();
  return runs;
}

#else

bool cpu_runs_avx2() { return false; }
bool cpu_runs_avx512() { return false; }
bool cpu_runs_amx() { return false; }

#endif
