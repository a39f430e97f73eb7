// Sums of windows times activations for NEON, from the QuadSums, TileInputs, kQuadsAtOnce and
// kSymbolOffset of the file that includes this. A panel is laid out as the tiles of an 8-bit
// window, and multiplied as they are.

// Adds windows (less kSymbolOffset, if 8 bits wide) times activations from `column` on to the sums
// of kQuadsAtOnce quads of `tiles` tiles, at most QuadSums::kMostTiles.
template <unsigned kBits, size_t kPositions>
inline void dot_quads(const uint8_t* quads, size_t tiles, const Activations& inputs, size_t first,
                      size_t column, int64_t* sums) {
  constexpr size_t kAtOnce = kQuadsAtOnce<kPositions>;
  QuadSums parts[kPositions][kAtOnce];
  for (size_t tile = 0; tile < tiles; ++tile) {
    const uint8_t* const from = quads + tile * tile_bytes(kBits);
#pragma GCC unroll 8
    for (unsigned line = 0; line < kBits; ++line) prefetch_stream(from + line * kStepBytes);
    for_each_step([&](auto step) __attribute__((always_inline)) {
#pragma GCC unroll 4
      for (size_t quad = 0; quad < kAtOnce; ++quad) {
        uint8x16_t windows = load_windows<kBits, step.value>(from + quad * kQuadBytes);
        if constexpr (kBits == 8 && kSymbolOffset != 0) {
          windows = veorq_u8(windows, vdupq_n_u8(kSymbolOffset));
        }
#pragma GCC unroll 4
        for (size_t p = 0; p < kPositions; ++p) {
          const TileInputs with(inputs, first + p, column + tile * kTileColumns);
          with.template multiply<step.value>(windows, parts[p][quad]);
        }
      }
    });
  }
#pragma GCC unroll 4
  for (size_t p = 0; p < kPositions; ++p) {
#pragma GCC unroll 4
    for (size_t quad = 0; quad < kAtOnce; ++quad) {
      parts[p][quad].add_to(sums + p * kWindowRows + quad * kWindowRows / kQuads);
    }
  }
}

// Adds to sums[p * kWindowRows + r] for positions first..first+kPositions-1.
template <unsigned kBits, size_t kPositions>
inline void dot_bits(const uint8_t* group, size_t tiles, const Activations& inputs, size_t first,
                     size_t column, int64_t* sums) {
  constexpr size_t kAtOnce = kQuadsAtOnce<kPositions>;
  for (size_t begin = 0; begin < tiles; begin += QuadSums::kMostTiles) {
    const size_t left = tiles - begin;
    const size_t count = left < QuadSums::kMostTiles ? left : QuadSums::kMostTiles;
    for (size_t quad = 0; quad < kQuads; quad += kAtOnce) {
      dot_quads<kBits, kPositions>(group + begin * tile_bytes(kBits) + quad * kQuadBytes, count,
                                   inputs, first, column + begin * kTileColumns,
                                   sums + quad * kWindowRows / kQuads);
    }
  }
}

template <size_t kPositions>
inline void dot_tiles(const WindowGroup& group, size_t tiles, const Activations& inputs,
                      int64_t* sums) {
  switch (group.window.bits) {
    case 1: return dot_bits<1, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
    case 2: return dot_bits<2, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
    case 3: return dot_bits<3, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
    case 4: return dot_bits<4, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
    case 5: return dot_bits<5, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
    case 6: return dot_bits<6, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
    case 7: return dot_bits<7, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
    default: return dot_bits<8, kPositions>(group.tiles, tiles, inputs, 0, 0, sums);
  }
}

template <unsigned kSymbolBits, size_t kPositions>
inline void dot_group(const WindowGroup& group, size_t tiles, const Activations& inputs,
                      ReadAhead&, int64_t (&sums)[kPositions][kWindowRows]) {
  for (size_t p = 0; p < kPositions; ++p) {
    const int64_t offset = group.window.bits == 8 ? kSymbolOffset * inputs.sums[p] : 0;
    for (int64_t& sum : sums[p]) sum = offset;
  }
  dot_tiles<kPositions>(group, tiles, inputs, sums[0]);
  add_all_exceptions<kSymbolBits>(group, inputs, sums);
}

// sum(whole[i]), of at most kPanelColumns.
inline int64_t sum_wholes(const int16_t* whole, size_t count) {
  int32_t sum = 0;
  for (size_t i = 0; i < count; ++i) sum += whole[i];
  return sum;
}

template <size_t kPositions>
inline void multiply_panels_at(const uint8_t* panels, size_t groups, size_t tiles,
                               const Activations& inputs, size_t column, size_t first,
                               size_t group_sums, int64_t* sums) {
  int64_t offsets[kPositions] = {};
  if constexpr (kSymbolOffset != 0) {
    for (size_t p = 0; p < kPositions; ++p) {
      const int16_t* const whole = inputs.whole + (first + p) * inputs.stride + column;
      offsets[p] = kSymbolOffset * sum_wholes(whole, tiles * kTileColumns);
    }
  }
  for (size_t group = 0; group < groups; ++group) {
    int64_t* const to = sums + group * group_sums;
    for (size_t p = 0; p < kPositions; ++p) {
      for (size_t r = 0; r < kWindowRows; ++r) to[p * kWindowRows + r] += offsets[p];
    }
    dot_bits<8, kPositions>(panels + group * kPanelBytes, tiles, inputs, first, column, to);
  }
}

inline void multiply_panels(const uint8_t* panels, size_t groups, size_t steps,
                            const Activations& inputs, size_t column, size_t first,
                            size_t positions, int64_t* sums) {
  const size_t tiles = steps / kTileSteps;
  const size_t group_sums = positions * kWindowRows;
  size_t p = 0;
  for (; p + 4 <= positions; p += 4) {
    multiply_panels_at<4>(panels, groups, tiles, inputs, column, first + p, group_sums,
                          sums + p * kWindowRows);
  }
  for (; p < positions; ++p) {
    multiply_panels_at<1>(panels, groups, tiles, inputs, column, first + p, group_sums,
                          sums + p * kWindowRows);
  }
}
