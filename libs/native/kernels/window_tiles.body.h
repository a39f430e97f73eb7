// What the products with windows (window_product.body.h) and their packing (window_pack.body.h)
// are made of, in plain C++. An instruction set that has better defines the same functions in its
// own window_tiles_<isa>.body.h (engine_kernels.body.h says how it is chosen).

// How far ahead memory is read; it is not.
constexpr size_t kPrefetchBytes = 0;

// windows[i] = q - low (mod 256) of place i of a tile. `symbols` is the first of 16 x 32.
inline void load_tile(const uint8_t* symbols, size_t row_stride, uint8_t low, uint8_t* windows) {
  for (size_t step = 0; step < kTileSteps; ++step) {
    for (size_t r = 0; r < kWindowRows; ++r) {
      const uint8_t* from = symbols + r * row_stride + step * kStepColumns;
      uint8_t* to = windows + step * kStepBytes + r * kStepColumns;
      for (size_t c = 0; c < kStepColumns; ++c) to[c] = static_cast<uint8_t>(from[c] - low);
    }
  }
}

// Bit i: windows[i] >= 2^bits. Clears those places.
inline uint64_t take_exceptions(uint8_t* windows, unsigned bits) {
  if (bits == 8) return 0;
  uint64_t found = 0;
  for (size_t i = 0; i < kStepBytes; ++i) {
    const bool outside = windows[i] >> bits != 0;
    found |= static_cast<uint64_t>(outside) << i;
    windows[i] = outside ? 0 : windows[i];
  }
  return found;
}

// Bit r: bit 4 * r + column of a step's 64.
inline uint64_t column_bits(uint64_t step_bits, size_t column) {
  uint64_t bits = 0;
  for (size_t r = 0; r < kWindowRows; ++r) {
    bits |= (step_bits >> (kStepColumns * r + column) & 1) << r;
  }
  return bits;
}

// One plane of `width` bits: its vector v holds the steps v * 8 / width... from the lowest bits.
template <unsigned kBits>
inline void pack_plane(const uint8_t* windows, unsigned shift, uint8_t* plane) {
  constexpr size_t kSteps = 8 / kBits;
  for (size_t v = 0; v < kBits; ++v) {
    for (size_t i = 0; i < kStepBytes; ++i) {
      unsigned packed = 0;
      for (size_t step = 0; step < kSteps; ++step) {
        const unsigned window = windows[(v * kSteps + step) * kStepBytes + i];
        packed |= (window >> shift & ((1u << kBits) - 1)) << (kBits * step);
      }
      plane[v * kStepBytes + i] = static_cast<uint8_t>(packed);
    }
  }
}

inline void pack_tile(const uint8_t* windows, unsigned bits, uint8_t* tile) {
  if (bits == 8) {
    __builtin_memcpy(tile, windows, kTileSymbols);
    return;
  }
  if ((bits & 4) != 0) pack_plane<4>(windows, 0, tile);
  if ((bits & 2) != 0) pack_plane<2>(windows, bits & 4, tile + (bits & 4) * kStepBytes);
  if ((bits & 1) != 0) pack_plane<1>(windows, bits & 6, tile + (bits & 6) * kStepBytes);
}

// Adds a plane of a tile, shifted left by `shift`, to the windows.
template <unsigned kBits>
inline void add_plane(const uint8_t* plane, unsigned shift, uint8_t* windows) {
  constexpr size_t kSteps = 8 / kBits;
  for (size_t v = 0; v < kBits; ++v) {
    for (size_t step = 0; step < kSteps; ++step) {
      uint8_t* to = windows + (v * kSteps + step) * kStepBytes;
      for (size_t i = 0; i < kStepBytes; ++i) {
        const unsigned part = plane[v * kStepBytes + i] >> (kBits * step) & ((1u << kBits) - 1);
        to[i] = static_cast<uint8_t>(to[i] + (part << shift));
      }
    }
  }
}

// symbols[i] = low + the window of place i of a tile; exceptions become low.
inline void unpack_tile(const uint8_t* tile, Window window, uint8_t* symbols) {
  const unsigned bits = window.bits;
  __builtin_memset(symbols, window.low, kTileSymbols);
  if (bits == 8) {
    for (size_t i = 0; i < kTileSymbols; ++i) {
      symbols[i] = static_cast<uint8_t>(symbols[i] + tile[i]);
    }
    return;
  }
  if ((bits & 4) != 0) add_plane<4>(tile, 0, symbols);
  if ((bits & 2) != 0) add_plane<2>(tile + (bits & 4) * kStepBytes, bits & 4, symbols);
  if ((bits & 1) != 0) add_plane<1>(tile + (bits & 6) * kStepBytes, bits & 6, symbols);
}

// sums[r] = sum over `steps` steps of symbols times wholes. At most kPanelColumns columns, so that
// a sum fits 32 bits: 255 * 16319 * 512 < 2^31.
inline void dot_steps(const uint8_t* symbols, size_t steps, const int16_t* whole,
                      int32_t (&sums)[kWindowRows]) {
  for (size_t step = 0; step < steps; ++step) {
    const uint8_t* from = symbols + step * kStepBytes;
    const int16_t* with = whole + step * kStepColumns;
    for (size_t r = 0; r < kWindowRows; ++r) {
      int32_t sum = 0;
      for (size_t c = 0; c < kStepColumns; ++c) sum += from[r * kStepColumns + c] * with[c];
      sums[r] += sum;
    }
  }
}

// sums[p][r] = sum of (q - low) times wholes over a group's `tiles` tiles, exceptions included, for
// the first kPositions positions.
template <unsigned kSymbolBits, size_t kPositions>
inline void dot_group(const WindowGroup& group, size_t tiles, const Activations& inputs,
                      ReadAhead&, int64_t (&sums)[kPositions][kWindowRows]) {
  const Window window = {group.window.bits, 0};
  for (auto& of_position : sums) {
    for (int64_t& sum : of_position) sum = 0;
  }
  for (size_t tile = 0; tile < tiles; ++tile) {
    uint8_t windows[kTileSymbols];
    unpack_tile(group.tiles + tile * tile_bytes(window.bits), window, windows);
    for (size_t p = 0; p < kPositions; ++p) {
      int32_t part[kWindowRows] = {};
      dot_steps(windows, kTileSteps, inputs.whole + p * inputs.stride + tile * kTileColumns, part);
      for (size_t r = 0; r < kWindowRows; ++r) sums[p][r] += part[r];
    }
  }
  add_all_exceptions<kSymbolBits>(group, inputs, sums);
}

// Adds, for each of `groups` panels (kPanelBytes apart) and each position first..first+positions-1,
// the dots of the panel's rows over `steps` steps, the activations from `column` on:
// sums[(group * positions + p) * kWindowRows + r].
inline void multiply_panels(const uint8_t* panels, size_t groups, size_t steps,
                            const Activations& inputs, size_t column, size_t first,
                            size_t positions, int64_t* sums) {
  for (size_t group = 0; group < groups; ++group) {
    for (size_t p = 0; p < positions; ++p) {
      int32_t part[kWindowRows] = {};
      dot_steps(panels + group * kPanelBytes, steps,
                inputs.whole + (first + p) * inputs.stride + column, part);
      int64_t* to = sums + (group * positions + p) * kWindowRows;
      for (size_t r = 0; r < kWindowRows; ++r) to[r] += part[r];
    }
  }
}

// sum(symbols[i] * whole[i]).
inline int64_t dot_row(const uint8_t* symbols, const int16_t* whole, size_t count) {
  int64_t total = 0;
  for (size_t begin = 0; begin < count; begin += kPanelColumns) {
    const size_t end = count - begin < kPanelColumns ? count : begin + kPanelColumns;
    int32_t sum = 0;
    for (size_t i = begin; i < end; ++i) sum += symbols[i] * whole[i];
    total += sum;
  }
  return total;
}
