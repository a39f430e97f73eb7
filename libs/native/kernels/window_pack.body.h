// Symbols to groups of windows and back (window_format.h).

// Columns that packing fetches ahead, for sixteen rows are more streams than the hardware follows.
constexpr size_t kPackAhead = 512;

// Two tiles' columns: a cache line of each row.
constexpr size_t kStagedColumns = 2 * kTileColumns;

// Copies 16 x kStagedColumns symbols from `column` on, so that each line is read once: rows are
// often a multiple of 4096 bytes apart, and then compete for the same places in the cache. Rows and
// columns beyond the block's count as the symbol `padding`.
inline void stage_columns(const SymbolBlock& block, size_t column, uint8_t padding,
                          uint8_t* staged) {
  const size_t left = block.columns - column;
  const uint8_t* from = block.symbols + column;
  if (block.rows == kWindowRows && left >= kStagedColumns) {
    for (size_t r = 0; r < kWindowRows; ++r) {
      __builtin_prefetch(from + r * block.row_stride + kPackAhead);
      __builtin_memcpy(staged + r * kStagedColumns, from + r * block.row_stride, kStagedColumns);
    }
    return;
  }
  const size_t count = left < kStagedColumns ? left : kStagedColumns;
  __builtin_memset(staged, padding, kWindowRows * kStagedColumns);
  for (size_t r = 0; r < block.rows; ++r) {
    __builtin_memcpy(staged + r * kStagedColumns, from + r * block.row_stride, count);
  }
}

struct ExceptionWriter {
  uint16_t* next;
  uint16_t* end;
  unsigned symbol_bits;
  uint8_t low;
  size_t place = 0;

  // Lists the symbol low + difference (mod 256). False when there is no room.
  bool add(size_t at, uint8_t difference) {
    const size_t farthest = (size_t{1} << (16 - symbol_bits)) - 1;
    // An entry whose symbol is `low` changes nothing and only bridges a distance.
    for (; at - place > farthest; place += farthest) {
      if (next == end) return false;
      *next++ = static_cast<uint16_t>(farthest << symbol_bits | low);
    }
    if (next == end) return false;
    *next++ = static_cast<uint16_t>((at - place) << symbol_bits |
                                    static_cast<uint8_t>(difference + low));
    place = at;
    return true;
  }
};

// Lists the places of a step that `found` has a bit for, column by column from column `first` on.
// Their differences from the window's low are bytes[i] - base. False when there is no room.
inline bool add_step_exceptions(ExceptionWriter& writer, uint64_t found, const uint8_t* bytes,
                                uint8_t base, size_t first) {
  for (size_t c = 0; c < kStepColumns; ++c) {
    for (uint64_t left = column_bits(found, c); left != 0; left &= left - 1) {
      const size_t row = static_cast<size_t>(__builtin_ctzll(left));
      const uint8_t difference = static_cast<uint8_t>(bytes[row * kStepColumns + c] - base);
      if (!writer.add((first + c) * kWindowRows + row, difference)) return false;
    }
  }
  return true;
}

static size_t pack_group(const SymbolBlock& block, Window window, unsigned symbol_bits,
                         uint8_t* tiles, uint16_t* exceptions, size_t room) {
  ExceptionWriter writer = {exceptions, exceptions + room, symbol_bits, window.low};
  const size_t count = tiles_across(block.columns);
  alignas(64) uint8_t staged[kWindowRows * kStagedColumns];
  for (size_t tile = 0; tile < count; ++tile) {
    alignas(64) uint8_t windows[kTileSymbols];
    const size_t column = tile * kTileColumns;
    const size_t within = column % kStagedColumns;
    if (within == 0) stage_columns(block, column, window.low, staged);
    load_tile(staged + within, kStagedColumns, window.low, windows);
    for (size_t step = 0; step < kTileSteps; ++step) {
      uint8_t* const at = windows + step * kStepBytes;
      alignas(64) uint8_t before[kStepBytes];
      __builtin_memcpy(before, at, kStepBytes);
      const uint64_t found = take_exceptions(at, window.bits);
      if (found == 0) continue;
      const size_t first = column + step * kStepColumns;
      if (!add_step_exceptions(writer, found, before, 0, first)) return kTooManyExceptions;
    }
    pack_tile(windows, window.bits, tiles + tile * tile_bytes(window.bits));
  }
  return static_cast<size_t>(writer.next - exceptions);
}

// Exceptions become `low`.
inline void unpack_any_tile(const WindowGroup& group, size_t tile, uint8_t* symbols) {
  const uint8_t* const from = group.tiles + tile * group_tile_bytes(group);
  if (group.codebook != nullptr) {
    unpack_codes(from, *group.codebook, symbols);
  } else {
    unpack_tile(from, group.window, symbols);
  }
}

static void unpack_row(const WindowGroup& group, unsigned symbol_bits, size_t row, size_t count,
                       uint8_t* symbols) {
  for (size_t column = 0; column < count; column += kTileColumns) {
    alignas(64) uint8_t tile[kTileSymbols];
    unpack_any_tile(group, column / kTileColumns, tile);
    const size_t left = count - column;
    for (size_t c = 0; c < kTileColumns && c < left; ++c) {
      symbols[column + c] = tile[step_place(row, c)];
    }
  }
  const unsigned symbol_mask = (1u << symbol_bits) - 1;
  size_t place = 0;
  for (size_t i = 0; i < group.exception_count; ++i) {
    const unsigned entry = group.exceptions[i];
    place += entry >> symbol_bits;
    const size_t column = place / kWindowRows;
    if (place % kWindowRows != row || column >= count) continue;
    // Not a plain store: an entry that only bridges a distance must leave its place as it is.
    symbols[column] = static_cast<uint8_t>(symbols[column] + (entry & symbol_mask) -
                                           group.window.low);
  }
}
