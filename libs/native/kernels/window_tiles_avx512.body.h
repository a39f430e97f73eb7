// What products with windows and their packing are made of (window_tiles.body.h), for AVX-512 with
// VNNI: a step is one register, whose 32-bit lanes are rows.

// How far ahead memory is read.
constexpr size_t kPrefetchBytes = 8192;

// The next kBytes. As an instruction, for GCC 12 takes a function that only prefetches for one
// without effect and drops the calls. Never faults.
template <size_t kBytes>
[[gnu::always_inline]] inline void prefetch(ReadAhead& ahead) {
#pragma GCC unroll 8
  for (size_t line = 0; line < kBytes; line += 64) {
    asm volatile("prefetcht0 %0" : : "m"(ahead.at()[line]));
  }
  ahead.advance(kBytes);
}

inline __m512i load_step(const uint8_t* from) {
  return _mm512_load_si512(reinterpret_cast<const void*>(from));
}

inline void store_step(uint8_t* to, __m512i value) {
  _mm512_store_si512(reinterpret_cast<void*>(to), value);
}

// Rows r and r + 8 of a tile.
inline __m512i load_row_pair(const uint8_t* row, size_t row_stride) {
  const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
  const __m256i second =
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 8 * row_stride));
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

// Transposes the 4 x 4 words of 32 bits in every quarter of four registers.
inline void transpose_quarters(__m512i (&rows)[8], size_t at) {
  const __m512i low01 = _mm512_unpacklo_epi32(rows[at], rows[at + 1]);
  const __m512i high01 = _mm512_unpackhi_epi32(rows[at], rows[at + 1]);
  const __m512i low23 = _mm512_unpacklo_epi32(rows[at + 2], rows[at + 3]);
  const __m512i high23 = _mm512_unpackhi_epi32(rows[at + 2], rows[at + 3]);
  rows[at] = _mm512_unpacklo_epi64(low01, low23);
  rows[at + 1] = _mm512_unpackhi_epi64(low01, low23);
  rows[at + 2] = _mm512_unpacklo_epi64(high01, high23);
  rows[at + 3] = _mm512_unpackhi_epi64(high01, high23);
}

inline void load_tile(const uint8_t* symbols, size_t row_stride, uint8_t low, uint8_t* windows) {
  __m512i rows[8];
  for (size_t r = 0; r < 8; ++r) rows[r] = load_row_pair(symbols + r * row_stride, row_stride);
  transpose_quarters(rows, 0);
  transpose_quarters(rows, 4);
  // Quarters of rows[k]: rows 0-3 of step k, of step k + 4, then rows 8-11 of both; rows[k + 4]
  // has rows 4-7 and 12-15.
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
  const __m512i second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  const __m512i lows = _mm512_set1_epi8(static_cast<char>(low));
  for (size_t k = 0; k < 4; ++k) {
    const __m512i near = _mm512_permutex2var_epi64(rows[k], first, rows[k + 4]);
    const __m512i far = _mm512_permutex2var_epi64(rows[k], second, rows[k + 4]);
    store_step(windows + k * kStepBytes, _mm512_sub_epi8(near, lows));
    store_step(windows + (k + 4) * kStepBytes, _mm512_sub_epi8(far, lows));
  }
}

inline uint64_t take_exceptions(uint8_t* windows, unsigned bits) {
  const __m512i most = _mm512_set1_epi8(static_cast<char>((1u << bits) - 1));
  const __m512i step = load_step(windows);
  const __mmask64 outside = _mm512_cmpgt_epu8_mask(step, most);
  if (outside != 0) store_step(windows, _mm512_maskz_mov_epi8(~outside, step));
  return outside;
}

// Bit r: bit 4 * r + column of a step's 64.
inline uint64_t column_bits(uint64_t step_bits, size_t column) {
  return _pext_u64(step_bits, uint64_t{0x1111111111111111} << column);
}

struct Bytes {
  using Vector = __m512i;
  static constexpr size_t kWidth = 64;
  static Vector load(const uint8_t* from) { return load_step(from); }
  static void store(uint8_t* to, Vector value) { store_step(to, value); }
  static Vector broadcast(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
  static Vector both(Vector a, Vector b) { return _mm512_and_si512(a, b); }
  static Vector add(Vector a, Vector b) { return _mm512_add_epi8(a, b); }
  // (value where mask is set) | others.
  static Vector insert(Vector others, Vector value, Vector mask) {
    return _mm512_ternarylogic_epi64(others, value, mask, 0xF8);
  }
  // Right by kShift, left where that is negative, with bits from neighbouring bytes left over.
  template <int kShift>
  static Vector shifted(Vector value) {
    if constexpr (kShift > 0) return _mm512_srli_epi16(value, kShift);
    if constexpr (kShift < 0) return _mm512_slli_epi16(value, -kShift);
    return value;
  }
};

#include "kernels/window_planes.body.h"

// Four activations in every lane.
inline __m512i broadcast_step(const int8_t* activations) {
  int32_t four;
  __builtin_memcpy(&four, activations, sizeof(four));
  return _mm512_set1_epi32(four);
}

// Adds products of four unsigned and four signed bytes to each lane. As an instruction, for with
// the intrinsic GCC 12 copies the sums and then has too few registers for a block's.
inline void add_products(__m512i& sum, __m512i symbols, __m512i activations) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(symbols), "v"(activations));
}

// The same with four activations for all lanes.
inline void add_step(__m512i& sum, __m512i symbols, const int8_t* activations) {
  using Four = const int8_t[kStepColumns];
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(symbols), "m"(*reinterpret_cast<Four*>(activations)));
}

// 128 * high + low per row, in 64 bits.
inline void store_sums(__m512i high, __m512i low, int64_t* sums) {
  const __m512i high_first = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(high));
  const __m512i high_second = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(high, 1));
  const __m512i low_first = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(low));
  const __m512i low_second = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(low, 1));
  _mm512_storeu_si512(sums, _mm512_add_epi64(_mm512_slli_epi64(high_first, 7), low_first));
  _mm512_storeu_si512(sums + 8, _mm512_add_epi64(_mm512_slli_epi64(high_second, 7), low_second));
}

// Sums of one group, in registers. A lane sums at most kMostWindowColumns products of at most
// 255 * 127, which 32 bits hold.
template <size_t kPositions>
struct GroupSums {
  // As many chains of additions as hide the latency of one.
  static constexpr size_t kChains = kPositions == 1 ? 4 : kPositions == 2 ? 2 : 1;
  __m512i high[kPositions][kChains];
  __m512i low[kPositions][kChains];

  [[gnu::always_inline]] void clear() {
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) {
#pragma GCC unroll 4
      for (size_t chain = 0; chain < kChains; ++chain) {
        high[p][chain] = low[p][chain] = _mm512_setzero_si512();
      }
    }
  }

  // kShift: by how much the symbols of odd steps are shifted, where these have chains of their own.
  template <unsigned kShift>
  [[gnu::always_inline]] void store(int64_t (&sums)[kPositions][kWindowRows]) {
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) {
#pragma GCC unroll 4
      for (size_t chain = 1; chain < kChains; ++chain) {
        if (kShift > 0 && chain % 2 == 1) {
          high[p][chain] = _mm512_srai_epi32(high[p][chain], kShift);
          low[p][chain] = _mm512_srai_epi32(low[p][chain], kShift);
        }
        high[p][0] = _mm512_add_epi32(high[p][0], high[p][chain]);
        low[p][0] = _mm512_add_epi32(low[p][0], low[p][chain]);
      }
      store_sums(high[p][0], low[p][0], sums[p]);
    }
  }
};

// Tiles of listed windows; others (window_escapes_avx512.body.h) have the same members. load() may
// leave the symbols of odd steps shifted left by kOddShift, if it is told that they have sums of
// their own.
template <unsigned kBits>
struct WindowTiles {
  static constexpr size_t kBytes = tile_bytes(kBits);
  static constexpr size_t kSteps = kTileSteps;
  static constexpr unsigned kOddShift = 0;

  explicit WindowTiles(const WindowGroup&) {}

  template <size_t kHalf, bool, typename Literals>
  [[gnu::always_inline]] void load(const uint8_t* tile, Literals&, Steps& step) const {
    load_windows<kBits>(tile, step);
  }
};

// Adds what half kHalf of a tile, eight steps, holds times the activations from `at` on.
template <size_t kHalf, typename Tiles, typename Literals, size_t kPositions>
[[gnu::always_inline]] inline void add_half(const Tiles& tiles, const uint8_t* tile,
                                            const Activations& inputs, size_t at,
                                            Literals& literals, GroupSums<kPositions>& sums) {
  constexpr size_t kChains = GroupSums<kPositions>::kChains;
  Steps step;
  tiles.template load<kHalf, (kChains > 1)>(tile, literals, step);
  const int8_t* high[kPositions];
  const int8_t* low[kPositions];
#pragma GCC unroll 4
  for (size_t p = 0; p < kPositions; ++p) {
    high[p] = inputs.high + at + p * inputs.stride;
    low[p] = inputs.low + at + p * inputs.stride;
    // Kept as they are: GCC would keep a pointer for every step of every position instead.
    asm("" : "+r"(high[p]), "+r"(low[p]));
  }
#pragma GCC unroll 8
  for (size_t k = 0; k < kTileSteps; k += kChains) {
#pragma GCC unroll 4
    for (size_t chain = 0; chain < kChains; ++chain) {
#pragma GCC unroll 4
      for (size_t p = 0; p < kPositions; ++p) {
        const size_t column = (k + chain) * kStepColumns;
        add_step(sums.high[p][chain], step[k + chain], high[p] + column);
        add_step(sums.low[p][chain], step[k + chain], low[p] + column);
      }
    }
  }
}

// Adds what a tile holds times the activations `at` its first column.
template <typename Tiles, typename Literals, size_t kPositions>
[[gnu::always_inline]] inline void add_tile(const Tiles& tiles, const uint8_t* tile,
                                            const Activations& inputs, size_t at,
                                            Literals& literals, ReadAhead& ahead,
                                            GroupSums<kPositions>& sums) {
  prefetch<Tiles::kBytes>(ahead);
  add_half<0>(tiles, tile, inputs, at, literals, sums);
  if constexpr (Tiles::kSteps > kTileSteps) {
    add_half<1>(tiles, tile, inputs, at + kTileColumns, literals, sums);
  }
}

// What lies before a group's tiles.
inline void prefetch_outside(const WindowGroup& group, ReadAhead& ahead) {
  for (const uint8_t* at = group.outside; at < group.tiles; at += 64) prefetch<64>(ahead);
}

struct NoLiterals {};

// Exceptions are spread evenly over the tiles: they keep the core busy, the tiles the memory.
// A function of its own for each, for with all of them in one place GCC stops inlining.
template <typename Tiles, unsigned kSymbolBits, size_t kPositions>
[[gnu::noinline]] void dot_tiles(const WindowGroup& group, size_t tiles, const Activations& inputs,
                                 ReadAhead& ahead, int64_t (&sums)[kPositions][kWindowRows]) {
  const Tiles held(group);
  prefetch_outside(group, ahead);
  NoLiterals none;
  ExceptionReader reader = read_exceptions(group);
  int32_t part[kPositions][kWindowRows] = {};
  int64_t carried[kPositions][kWindowRows] = {};
  const size_t each = (group.exception_count + tiles - 1) / tiles;
  const size_t run = each == 0 ? tiles : kRunExceptions / each;
  GroupSums<kPositions> dense;
  dense.clear();
  for (size_t i = 0; i < tiles;) {
    const size_t run_end = tiles - i < run ? tiles : i + run;
    for (; i < run_end; ++i) {
      add_tile(held, group.tiles + i * Tiles::kBytes, inputs, i * kTileColumns, none, ahead,
               dense);
      const size_t left = static_cast<size_t>(reader.end - reader.next);
      add_exceptions<kSymbolBits>(reader, reader.next + (left < each ? left : each), inputs.whole,
                                  inputs.stride, part);
    }
    carry_sums(part, carried);
  }
  dense.template store<0>(sums);
  for (size_t p = 0; p < kPositions; ++p) {
    for (size_t r = 0; r < kWindowRows; ++r) sums[p][r] += carried[p][r];
  }
}

template <unsigned kSymbolBits, size_t kPositions>
inline void dot_group(const WindowGroup& group, size_t tiles, const Activations& inputs,
                      ReadAhead& ahead, int64_t (&sums)[kPositions][kWindowRows]) {
  switch (group.window.bits) {
    case 1: return dot_tiles<WindowTiles<1>, kSymbolBits>(group, tiles, inputs, ahead, sums);
    case 2: return dot_tiles<WindowTiles<2>, kSymbolBits>(group, tiles, inputs, ahead, sums);
    case 3: return dot_tiles<WindowTiles<3>, kSymbolBits>(group, tiles, inputs, ahead, sums);
    case 4: return dot_tiles<WindowTiles<4>, kSymbolBits>(group, tiles, inputs, ahead, sums);
  }
  if constexpr (kSymbolBits == 8) {
    switch (group.window.bits) {
      case 5: return dot_tiles<WindowTiles<5>, kSymbolBits>(group, tiles, inputs, ahead, sums);
      case 6: return dot_tiles<WindowTiles<6>, kSymbolBits>(group, tiles, inputs, ahead, sums);
      case 7: return dot_tiles<WindowTiles<7>, kSymbolBits>(group, tiles, inputs, ahead, sums);
      default: return dot_tiles<WindowTiles<8>, kSymbolBits>(group, tiles, inputs, ahead, sums);
    }
  }
}

// Panels x positions whose sums live in registers: 4 x 3 x 2 of the 32, and a step of each panel.
constexpr size_t kBlockPositions = 3;

template <size_t kGroups, size_t kPositions>
inline void multiply_panel_block(const uint8_t* panels, size_t steps, const Activations& inputs,
                                 size_t at, int64_t* sums, size_t group_sums) {
  __m512i high[kGroups][kPositions];
  __m512i low[kGroups][kPositions];
#pragma GCC unroll 4
  for (size_t g = 0; g < kGroups; ++g) {
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) high[g][p] = low[g][p] = _mm512_setzero_si512();
  }
  const int8_t* const high_input = inputs.high + at;
  const int8_t* const low_input = inputs.low + at;
  for (size_t k = 0; k < steps; ++k) {
    __m512i step[kGroups];
#pragma GCC unroll 4
    for (size_t g = 0; g < kGroups; ++g) {
      step[g] = load_step(panels + g * kPanelBytes + k * kStepBytes);
    }
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) {
      const size_t input = p * inputs.stride + k * kStepColumns;
      const __m512i high_step = broadcast_step(high_input + input);
#pragma GCC unroll 4
      for (size_t g = 0; g < kGroups; ++g) {
        add_products(high[g][p], step[g], high_step);
      }
      const __m512i low_step = broadcast_step(low_input + input);
#pragma GCC unroll 4
      for (size_t g = 0; g < kGroups; ++g) {
        add_products(low[g][p], step[g], low_step);
      }
    }
  }
#pragma GCC unroll 4
  for (size_t g = 0; g < kGroups; ++g) {
#pragma GCC unroll 4
    for (size_t p = 0; p < kPositions; ++p) {
      int64_t* const to = sums + g * group_sums + p * kWindowRows;
      int64_t part[kWindowRows];
      store_sums(high[g][p], low[g][p], part);
      for (size_t r = 0; r < kWindowRows; ++r) to[r] += part[r];
    }
  }
}

template <size_t kGroups>
inline void multiply_panel_groups(const uint8_t* panels, size_t steps, const Activations& inputs,
                                  size_t column, size_t first, size_t positions, int64_t* sums) {
  const size_t group_sums = positions * kWindowRows;
  size_t p = 0;
  for (; p + kBlockPositions <= positions; p += kBlockPositions) {
    multiply_panel_block<kGroups, kBlockPositions>(panels, steps, inputs,
                                                   (first + p) * inputs.stride + column,
                                                   sums + p * kWindowRows, group_sums);
  }
  const size_t at = (first + p) * inputs.stride + column;
  int64_t* const rest = sums + p * kWindowRows;
  if (positions - p == 2) {
    multiply_panel_block<kGroups, 2>(panels, steps, inputs, at, rest, group_sums);
  } else if (positions - p == 1) {
    multiply_panel_block<kGroups, 1>(panels, steps, inputs, at, rest, group_sums);
  }
}

inline void multiply_panels(const uint8_t* panels, size_t groups, size_t steps,
                            const Activations& inputs, size_t column, size_t first,
                            size_t positions, int64_t* sums) {
  switch (groups) {
    case 1:
      return multiply_panel_groups<1>(panels, steps, inputs, column, first, positions, sums);
    case 2:
      return multiply_panel_groups<2>(panels, steps, inputs, column, first, positions, sums);
    case 3:
      return multiply_panel_groups<3>(panels, steps, inputs, column, first, positions, sums);
    default:
      return multiply_panel_groups<4>(panels, steps, inputs, column, first, positions, sums);
  }
}

inline __m512i widen_symbols(__m256i symbols) { return _mm512_cvtepu8_epi16(symbols); }

// At most kPanelColumns symbols: 32-bit lanes hold any part of their sum.
inline int64_t dot_row(const uint8_t* symbols, const int16_t* whole, size_t count) {
  __m512i sum = _mm512_setzero_si512();
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(symbols + i));
    sum = _mm512_dpwssd_epi32(sum, widen_symbols(bytes), _mm512_loadu_si512(whole + i));
  }
  if (i < count) {
    const __mmask32 rest = (1u << (count - i)) - 1;
    const __m256i bytes = _mm256_maskz_loadu_epi8(rest, symbols + i);
    sum = _mm512_dpwssd_epi32(sum, widen_symbols(bytes),
                              _mm512_maskz_loadu_epi16(rest, whole + i));
  }
  return _mm512_reduce_add_epi32(sum);
}
