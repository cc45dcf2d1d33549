// The verbs of AMX, each one instruction. Tile registers 0-7 hold 16 rows of 64 bytes: 32 bf16 or 16 floats a row.
// tests/emulated_tiles.h has the same verbs in plain C++, for machines without AMX.
#ifndef FACEGEN_CPU_AMX_TILES_H_
#define FACEGEN_CPU_AMX_TILES_H_

#include <cstddef>
#include <cstdint>

namespace {

// All eight tiles as 16 rows of 64 bytes, and back to none: the state of the calling thread.
inline void tiles_configure() {
  struct alignas(64) {
    std::uint8_t palette, start_row, reserved[14];
    std::uint16_t row_bytes[16];
    std::uint8_t rows[16];
  } config = {};
  config.palette = 1;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = 16;
  }
  static_assert(sizeof config == 64, "what LDTILECFG reads");
  __asm__ volatile("ldtilecfg %0" ::"m"(config));
}
inline void tiles_release() { __asm__ volatile("tilerelease" ::: "memory"); }

template <int kTile>
inline void tile_zero() {
  __asm__ volatile("tilezero %%tmm%c0" ::"i"(kTile));
}

// Rows `stride` bytes apart.
template <int kTile>
inline void tile_load(const void* from, std::size_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void tile_store(void* to, std::size_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}

// sums (16, 16) float += a (16, 32) bf16 x b (16 pairs, 16, 2) bf16, where b's pair p holds rows 2p and 2p + 1
template <int kSums, int kA, int kB>
inline void tile_multiply() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kA), "i"(kB));
}

}  // namespace

#endif  // FACEGEN_CPU_AMX_TILES_H_
