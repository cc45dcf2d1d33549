// The verbs of cpu/amx_tiles.h in plain C++, as Intel's manual defines the instructions: a test double, so that the
// layers that are built on them can be computed on any machine.
#ifndef FACEGEN_TESTS_EMULATED_TILES_H_
#define FACEGEN_TESTS_EMULATED_TILES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace {

struct TileRegisters {
  bool configured;
  std::uint8_t tile[8][16][64];
};
thread_local TileRegisters t_registers;

// What an unconfigured tile raises on the CPU: an invalid-opcode fault.
inline auto& tile_rows(int tile) {
  if (!t_registers.configured) __builtin_trap();
  return t_registers.tile[tile];
}

inline void tiles_configure() {
  std::memset(&t_registers, 0, sizeof t_registers);
  t_registers.configured = true;
}
inline void tiles_release() { t_registers.configured = false; }

template <int kTile>
void tile_zero() {
  std::memset(tile_rows(kTile), 0, sizeof tile_rows(kTile));
}

template <int kTile>
void tile_load(const void* from, std::size_t stride) {
  for (int r = 0; r < 16; ++r) std::memcpy(tile_rows(kTile)[r], static_cast<const char*>(from) + r * stride, 64);
}

template <int kTile>
void tile_store(void* to, std::size_t stride) {
  for (int r = 0; r < 16; ++r) std::memcpy(static_cast<char*>(to) + r * stride, tile_rows(kTile)[r], 64);
}

// Even and odd members of the 16 pairs are summed apart from 0, then both sums together are added to the tile. All in
// float, to the nearest, denormals taken as 0 and flushed to 0. The product of two bf16 is exact.
#if defined(__x86_64__) && defined(__gnu_linux__)
__attribute__((target_clones("avx2", "default")))
#endif
inline void
multiply_emulated(int sums, int a, int b) {
  typedef float Row __attribute__((vector_size(64), aligned(4), may_alias));
  typedef std::uint32_t Pairs __attribute__((vector_size(64), aligned(4), may_alias));
#ifdef __SSE2__
  const unsigned control = _mm_getcsr();
  _mm_setcsr(control | 0x8040);  // flush to zero, denormals are zero
#endif
  float a_even[16][16], a_odd[16][16], b_even[16][16], b_odd[16][16];  // (rows, pairs), (pairs, columns)
  for (int r = 0; r < 16; ++r) {
    const Pairs& of_a = reinterpret_cast<const Pairs&>(tile_rows(a)[r]);
    const Pairs& of_b = reinterpret_cast<const Pairs&>(tile_rows(b)[r]);
    reinterpret_cast<Pairs&>(a_even[r]) = of_a << 16;
    reinterpret_cast<Pairs&>(a_odd[r]) = of_a & 0xffff0000u;
    reinterpret_cast<Pairs&>(b_even[r]) = of_b << 16;
    reinterpret_cast<Pairs&>(b_odd[r]) = of_b & 0xffff0000u;
  }
  for (int m = 0; m < 16; ++m) {
    Row even = {}, odd = {};
    for (int pair = 0; pair < 16; ++pair) {
      even += a_even[m][pair] * reinterpret_cast<const Row&>(b_even[pair]);
      odd += a_odd[m][pair] * reinterpret_cast<const Row&>(b_odd[pair]);
    }
    reinterpret_cast<Row&>(tile_rows(sums)[m]) += even + odd;
  }
#ifdef __SSE2__
  _mm_setcsr(control);
#endif
}

template <int kSums, int kA, int kB>
void tile_multiply() {
  multiply_emulated(kSums, kA, kB);
}

}  // namespace

#endif  // FACEGEN_TESTS_EMULATED_TILES_H_
