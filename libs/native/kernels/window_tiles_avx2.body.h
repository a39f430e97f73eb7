// What products with windows and their packing are made of (window_tiles.body.h), for AVX2.
// Products of bytes would overflow the 16 bits that AVX2 adds them in, so windows are widened and
// meet the whole activations: two products to a 32-bit lane, two lanes to a row.

// How far ahead memory is read.
constexpr size_t kPrefetchBytes = 4096;

// As an instruction, for GCC 12 takes a function that only prefetches for one without effect and
// drops the calls. Never faults.
inline void prefetch_stream(const uint8_t* at) {
  asm volatile("prefetcht0 %0" : : "m"(at[kPrefetchBytes]));
}

struct Bytes {
  using Vector = __m256i;
  static constexpr size_t kWidth = 32;
  static Vector load(const uint8_t* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
  }
  static void store(uint8_t* to, Vector value) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), value);
  }
  static Vector broadcast(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
  static Vector both(Vector a, Vector b) { return _mm256_and_si256(a, b); }
  static Vector add(Vector a, Vector b) { return _mm256_add_epi8(a, b); }
  // (value where mask is set) | others.
  static Vector insert(Vector others, Vector value, Vector mask) {
    return _mm256_or_si256(others, _mm256_and_si256(value, mask));
  }
  // Right by kShift, left where that is negative, with bits from neighbouring bytes left over.
  template <int kShift>
  static Vector shifted(Vector value) {
    if constexpr (kShift > 0) return _mm256_srli_epi16(value, kShift);
    if constexpr (kShift < 0) return _mm256_slli_epi16(value, -kShift);
    return value;
  }
};

#include "kernels/window_planes.body.h"

inline void store_quarter(uint8_t* to, __m128i value) {
  _mm_store_si128(reinterpret_cast<__m128i*>(to), value);
}

inline void load_tile(const uint8_t* symbols, size_t row_stride, uint8_t low, uint8_t* windows) {
  const __m256i lows = _mm256_set1_epi8(static_cast<char>(low));
  for (size_t first = 0; first < kWindowRows; first += 4) {
    __m256i rows[4];
    for (size_t r = 0; r < 4; ++r) {
      const uint8_t* const row = symbols + (first + r) * row_stride;
      rows[r] = _mm256_sub_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row)), lows);
    }
    const __m256i low01 = _mm256_unpacklo_epi32(rows[0], rows[1]);
    const __m256i high01 = _mm256_unpackhi_epi32(rows[0], rows[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(rows[2], rows[3]);
    const __m256i high23 = _mm256_unpackhi_epi32(rows[2], rows[3]);
    // The four rows at steps k and k + 4.
    const __m256i steps[4] = {
        _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
        _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
    for (size_t k = 0; k < 4; ++k) {
      uint8_t* const to = windows + k * kStepBytes + first * kStepColumns;
      store_quarter(to, _mm256_castsi256_si128(steps[k]));
      store_quarter(to + 4 * kStepBytes, _mm256_extracti128_si256(steps[k], 1));
    }
  }
}

inline uint64_t take_exceptions(uint8_t* windows, unsigned bits) {
  if (bits == 8) return 0;
  const __m256i least = _mm256_set1_epi8(static_cast<char>(1u << bits));
  uint64_t found = 0;
  for (size_t half = 0; half < 2; ++half) {
    uint8_t* const at = windows + half * Bytes::kWidth;
    const __m256i step = Bytes::load(at);
    const __m256i outside = _mm256_cmpeq_epi8(_mm256_max_epu8(step, least), step);
    const uint32_t mask = static_cast<uint32_t>(_mm256_movemask_epi8(outside));
    found |= static_cast<uint64_t>(mask) << (32 * half);
    if (mask != 0) Bytes::store(at, _mm256_andnot_si256(outside, step));
  }
  return found;
}

// Bit r: bit 4 * r + column of a step's 64.
inline uint64_t column_bits(uint64_t step_bits, size_t column) {
  return _pext_u64(step_bits, uint64_t{0x1111111111111111} << column);
}

// Four rows of a step in each register.
constexpr size_t kQuarters = 4;

template <size_t kPositions>
struct RowSums {
  __m256i lanes[kPositions][kQuarters];

  [[gnu::always_inline]] void clear() {
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) {
#pragma GCC unroll 4
      for (size_t q = 0; q < kQuarters; ++q) lanes[p][q] = _mm256_setzero_si256();
    }
  }

  // Adds to sums[p * kWindowRows + row].
  [[gnu::always_inline]] void add_to(int64_t* sums) const {
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) {
#pragma GCC unroll 2
      for (size_t q = 0; q < kQuarters; q += 2) {
        // Lanes 0 1 4 5 2 3 6 7 of eight rows.
        const __m256i pairs = _mm256_hadd_epi32(lanes[p][q], lanes[p][q + 1]);
        const __m256i rows = _mm256_permute4x64_epi64(pairs, 0xD8);
        int64_t* const to = sums + p * kWindowRows + q * 4;
        add_four(to, _mm256_castsi256_si128(rows));
        add_four(to + 4, _mm256_extracti128_si256(rows, 1));
      }
    }
  }

  static void add_four(int64_t* to, __m128i rows) {
    __m256i* const at = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), _mm256_cvtepi32_epi64(rows)));
  }
};

// sum += addend. As an instruction, for GCC 12 else copies the sums and has too few registers.
inline void add_lanes(__m256i& sum, __m256i addend) {
  asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(addend));
}

// Adds `steps` steps of symbols times the activations from `whole` on. At most kPanelColumns
// columns until the sums are taken, so that those of a row fit 32 bits: 512 * 255 * 16319 < 2^31.
template <size_t kPositions>
[[gnu::always_inline]] inline void add_steps(const uint8_t* symbols, size_t steps,
                                             const int16_t* whole, size_t stride,
                                             RowSums<kPositions>& sums) {
  for (size_t k = 0; k < steps; ++k) {
    const uint8_t* const from = symbols + k * kStepBytes;
    __m256i wide[kQuarters];
#pragma GCC unroll 4
    for (size_t q = 0; q < kQuarters; ++q) {
      wide[q] =
          _mm256_cvtepu8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(from + 16 * q)));
    }
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) {
      int64_t four;
      __builtin_memcpy(&four, whole + p * stride + k * kStepColumns, sizeof(four));
      const __m256i input = _mm256_set1_epi64x(four);
#pragma GCC unroll 4
      for (size_t q = 0; q < kQuarters; ++q) {
        add_lanes(sums.lanes[p][q], _mm256_madd_epi16(wide[q], input));
      }
    }
  }
}

// Tiles whose sums fit 32 bits.
constexpr size_t kRunTiles = kPanelColumns / kTileColumns;

template <unsigned kBits, size_t kPositions>
[[gnu::noinline]] void add_tiles(const uint8_t* tile, size_t tiles, const int16_t* whole,
                                 size_t stride, int64_t* sums) {
  RowSums<kPositions> part;
  part.clear();
  for (size_t i = 0; i < tiles; ++i) {
    for (unsigned line = 0; line < kBits; ++line) prefetch_stream(tile + line * kStepBytes);
    alignas(64) uint8_t windows[kTileSymbols];
    unpack_bits<kBits>(tile, 0, windows);
    add_steps(windows, kTileSteps, whole + i * kTileColumns, stride, part);
    tile += tile_bytes(kBits);
  }
  part.add_to(sums);
}

template <size_t kPositions>
inline void add_run(unsigned bits, const uint8_t* tile, size_t tiles, const int16_t* whole,
                    size_t stride, int64_t* sums) {
  switch (bits) {
    case 1: return add_tiles<1, kPositions>(tile, tiles, whole, stride, sums);
    case 2: return add_tiles<2, kPositions>(tile, tiles, whole, stride, sums);
    case 3: return add_tiles<3, kPositions>(tile, tiles, whole, stride, sums);
    case 4: return add_tiles<4, kPositions>(tile, tiles, whole, stride, sums);
    case 5: return add_tiles<5, kPositions>(tile, tiles, whole, stride, sums);
    case 6: return add_tiles<6, kPositions>(tile, tiles, whole, stride, sums);
    case 7: return add_tiles<7, kPositions>(tile, tiles, whole, stride, sums);
    default: return add_tiles<8, kPositions>(tile, tiles, whole, stride, sums);
  }
}

template <unsigned kSymbolBits, size_t kPositions>
inline void dot_group(const WindowGroup& group, size_t tiles, const Activations& inputs,
                      ReadAhead&, int64_t (&sums)[kPositions][kWindowRows]) {
  for (auto& of_position : sums) {
    for (int64_t& sum : of_position) sum = 0;
  }
  add_all_exceptions<kSymbolBits>(group, inputs, sums);
  // Two positions at a time have their sums in registers.
  for (size_t tile = 0; tile < tiles; tile += kRunTiles) {
    const size_t run = tiles - tile < kRunTiles ? tiles - tile : kRunTiles;
    const uint8_t* const from = group.tiles + tile * tile_bytes(group.window.bits);
    const int16_t* const whole = inputs.whole + tile * kTileColumns;
    size_t p = 0;
    for (; p + 2 <= kPositions; p += 2) {
      add_run<2>(group.window.bits, from, run, whole + p * inputs.stride, inputs.stride, sums[p]);
    }
    if (p < kPositions) {
      add_run<1>(group.window.bits, from, run, whole + p * inputs.stride, inputs.stride, sums[p]);
    }
  }
}

template <size_t kPositions>
[[gnu::noinline]] void multiply_panel(const uint8_t* panel, size_t steps, const int16_t* whole,
                                      size_t stride, int64_t* sums) {
  RowSums<kPositions> part;
  part.clear();
  add_steps(panel, steps, whole, stride, part);
  part.add_to(sums);
}

inline void multiply_panels(const uint8_t* panels, size_t groups, size_t steps,
                            const Activations& inputs, size_t column, size_t first,
                            size_t positions, int64_t* sums) {
  for (size_t group = 0; group < groups; ++group) {
    const uint8_t* const panel = panels + group * kPanelBytes;
    const int16_t* whole = inputs.whole + first * inputs.stride + column;
    int64_t* to = sums + group * positions * kWindowRows;
    size_t p = 0;
    for (; p + 2 <= positions; p += 2) {
      multiply_panel<2>(panel, steps, whole, inputs.stride, to);
      whole += 2 * inputs.stride;
      to += 2 * kWindowRows;
    }
    if (p < positions) multiply_panel<1>(panel, steps, whole, inputs.stride, to);
  }
}

// At most kPanelColumns symbols: 32-bit lanes hold any part of their sum.
inline int64_t dot_row(const uint8_t* symbols, const int16_t* whole, size_t count) {
  __m256i sum = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256i wide =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols + i)));
    const __m256i input = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(whole + i));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(wide, input));
  }
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sum);
  int64_t total = 0;
  for (const int32_t lane : lanes) total += lane;
  for (; i < count; ++i) total += symbols[i] * whole[i];
  return total;
}
