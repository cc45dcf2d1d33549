// Hopper's own instructions (sm_90a), each wrapped in one small function named for what it does; no layer knowledge here.
//
// The section names in brackets are those of the PTX ISA manual. Everything that only sm_90a can assemble is used
// inside FACEGEN_SM90A, so that files which include this still compile for every other architecture of a fat binary.
#ifndef FACEGEN_KERNELS_HOPPER_HOPPER_CUH_
#define FACEGEN_KERNELS_HOPPER_HOPPER_CUH_

#include <cuda.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/shared_memory.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define FACEGEN_SM90A 1
#else
#define FACEGEN_SM90A 0
#endif

#ifndef FACEGEN_HANG_NS
#define FACEGEN_HANG_NS 20000000000ull  // a barrier that nobody completes ends the kernel after 20 s
#endif

#if FACEGEN_SM90A

namespace {

// ---- mbarrier [Parallel Synchronization and Communication Instructions: mbarrier]: a phase completes when the
// expected number of arrivals and the expected number of copied bytes have come in.

__device__ inline void barrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// Makes initialised barriers visible to the copy engine.
__device__ inline void barrier_init_done() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ inline void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

__device__ inline void arrive_expecting(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

__device__ inline bool phase_done(uint64_t* barrier, uint32_t parity) {
  uint32_t done;
  asm volatile(
      "{\n\t.reg .pred p;\n\t"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
      "selp.u32 %0, 1, 0, p;\n\t}"
      : "=r"(done)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return done != 0;
}

__device__ inline uint64_t nanoseconds() {
  uint64_t t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}

// Waits until the phase of that parity is over. Rather than hang for ever, a broken kernel ends with an error: by a
// write to nowhere, as ptxas would not let a kernel with a trap in its loops have more registers than it starts with.
__device__ inline void wait(uint64_t* barrier, uint32_t parity) {
  if (phase_done(barrier, parity)) return;
  const uint64_t start = nanoseconds();
  while (!phase_done(barrier, parity)) {
    if (nanoseconds() - start > FACEGEN_HANG_NS) *static_cast<volatile int*>(nullptr) = 0;
  }
}

// ---- clusters [barrier.cluster, mapa, st.async]: blocks that run side by side and reach each other's shared memory

__device__ inline uint32_t cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// Waits for all threads of the cluster's blocks; what they wrote before is seen after.
__device__ inline void sync_cluster() { asm volatile("barrier.cluster.arrive;\n\tbarrier.cluster.wait;" ::: "memory"); }

// What lies at p in this block lies here in block `rank` of the cluster.
__device__ inline uint32_t address_in(uint32_t rank, const void* p) {
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(p)), "r"(rank));
  return address;
}

__device__ inline void arrive_in(uint32_t rank, uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(address_in(rank, barrier)) : "memory");
}

// Writes a value into block `rank`'s shared memory; its barrier counts the 4 bytes. To be awaited by wait_for_cluster.
__device__ inline void send(uint32_t rank, int* to, int value, uint64_t* barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(address_in(rank, to)),
               "r"(value), "r"(address_in(rank, barrier))
               : "memory");
}

__device__ inline void wait_for_cluster(uint64_t* barrier, uint32_t parity) {
  wait(barrier, parity);
  asm volatile("fence.acq_rel.cluster;" ::: "memory");
}

// ---- bulk tensor copies [cp.async.bulk.tensor]: boxes of a map of up to five dimensions; what lies outside the
// map is read as zero.

__device__ inline void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ inline void load_box(void* to, const CUtensorMap* map, int x, int y, int z, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ inline void load_box(void* to, const CUtensorMap* map, int x, int y, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y)
      : "memory");
}

// To the same place in each block of the cluster whose bit is set in `blocks`, and counted by each one's barrier.
__device__ inline void load_box_into(uint16_t blocks, void* to, const CUtensorMap* map, int x, int y, int z, int u,
                                     int v, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8;" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z), "r"(u), "r"(v), "h"(blocks)
      : "memory");
}

// ---- kernels in a row [griddepcontrol]: one launched to overlap with the end of the one before it

// What the kernels before this one wrote is there, and they need nothing any more, once this returns.
__device__ inline void wait_for_previous_kernel() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// The next kernel's blocks may take the place of those of this one that have ended.
__device__ inline void let_next_kernel_start() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

// ---- groups of threads

// Barrier `id` (1..15; 0 is __syncthreads) among `threads` threads.
__device__ inline void sync_group(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

template <int registers>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}

template <int registers>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

// ---- wgmma [Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions]

// Shared-memory operand: rows of 128 bytes in the copy engine's 128-byte swizzle, 8 rows every 1024 bytes. To step
// along a row by b bytes, add b / 16 to the descriptor.
__device__ inline uint64_t matrix_descriptor(const void* tile) {
  return (uint64_t(1) << 62) |          // 128-byte swizzle
         (uint64_t(1024 >> 4) << 32) |  // bytes between groups of 8 rows
         (uint64_t(1) << 16) |          // unused in this layout
         ((shared_address(tile) & 0x3ffff) >> 4);
}

__device__ inline void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Until at most `left` committed groups are unfinished.
template <int left>
__device__ inline void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
}

#define FACEGEN_D8(i)                                                                                                 \
  "+f"(d[first + i]), "+f"(d[first + i + 1]), "+f"(d[first + i + 2]), "+f"(d[first + i + 3]), "+f"(d[first + i + 4]), \
      "+f"(d[first + i + 5]), "+f"(d[first + i + 6]), "+f"(d[first + i + 7])
#define FACEGEN_D32(i) FACEGEN_D8(i), FACEGEN_D8(i + 8), FACEGEN_D8(i + 16), FACEGEN_D8(i + 24)
#define FACEGEN_R32                                                                                      \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, " \
  "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define FACEGEN_R40 \
  FACEGEN_R32       \
  ", "              \
  "%32, %33, %34, %35, %36, %37, %38, %39"
#define FACEGEN_R64                                                                                      \
  FACEGEN_R32                                                                                            \
  ", "                                                                                                   \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, " \
  "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FACEGEN_R128                                                                                     \
  FACEGEN_R64                                                                                            \
  ", "                                                                                                   \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, " \
  "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, "   \
  "%103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, "     \
  "%119, %120, %121, %122, %123, %124, %125, %126, %127"

// One asynchronous product: d[first ...] (64 rows x columns) = a x b^T, added to what is there unless fresh. The rows
// of d are spread over the warpgroup as PTX prescribes: warp w, lane l holds in d[first + 4 j + {0, 1, 2, 3}] the rows
// 16 w + l / 4 + {0, 0, 8, 8} and the columns 8 j + 2 (l % 4) + {0, 1, 0, 1}.
#define FACEGEN_WGMMA(shape, types, tail, regs, a, b, p, ...)                                                         \
  asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" p ", 0;\n\twgmma.mma_async.sync.aligned." shape ".f32." types \
               " {" regs "}, %" a ", %" b ", p, 1, 1" tail ";\n\t}"                                                   \
               : __VA_ARGS__                                                                                          \
               : "l"(a_tile), "l"(b_tile), "r"(fresh ? 0 : 1))

// fp16 operands: a (64, 16), b (columns, 16)
template <int columns, int first, int registers>
__device__ inline void multiply_f16(float (&d)[registers], uint64_t a_tile, uint64_t b_tile, bool fresh = false) {
  static_assert(columns == 256 || columns == 128 || columns == 80 || columns == 64, "no such shape written down");
  if constexpr (columns == 256)
    FACEGEN_WGMMA("m64n256k16", "f16.f16", ", 0, 0", FACEGEN_R128, "128", "129", "130", FACEGEN_D32(0), FACEGEN_D32(32),
                  FACEGEN_D32(64), FACEGEN_D32(96));
  if constexpr (columns == 128)
    FACEGEN_WGMMA("m64n128k16", "f16.f16", ", 0, 0", FACEGEN_R64, "64", "65", "66", FACEGEN_D32(0), FACEGEN_D32(32));
  if constexpr (columns == 80)
    FACEGEN_WGMMA("m64n80k16", "f16.f16", ", 0, 0", FACEGEN_R40, "40", "41", "42", FACEGEN_D32(0), FACEGEN_D8(32));
  if constexpr (columns == 64)
    FACEGEN_WGMMA("m64n64k16", "f16.f16", ", 0, 0", FACEGEN_R32, "32", "33", "34", FACEGEN_D32(0));
}

// e4m3 operands: a (64, 32), b (columns, 32). Their products are summed with some 14 bits.
template <int columns, int first, int registers>
__device__ inline void multiply_e4m3(float (&d)[registers], uint64_t a_tile, uint64_t b_tile, bool fresh = false) {
  static_assert(columns == 256 || columns == 128 || columns == 64, "no such shape written down");
  if constexpr (columns == 256)
    FACEGEN_WGMMA("m64n256k32", "e4m3.e4m3", "", FACEGEN_R128, "128", "129", "130", FACEGEN_D32(0), FACEGEN_D32(32),
                  FACEGEN_D32(64), FACEGEN_D32(96));
  if constexpr (columns == 128)
    FACEGEN_WGMMA("m64n128k32", "e4m3.e4m3", "", FACEGEN_R64, "64", "65", "66", FACEGEN_D32(0), FACEGEN_D32(32));
  if constexpr (columns == 64)
    FACEGEN_WGMMA("m64n64k32", "e4m3.e4m3", "", FACEGEN_R32, "32", "33", "34", FACEGEN_D32(0));
}

}  // namespace

#endif  // FACEGEN_SM90A
#endif  // FACEGEN_KERNELS_HOPPER_HOPPER_CUH_
