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
// differences[i] are what symbols are above the window's low. False when there is no room.
inline bool add_step_exceptions(ExceptionWriter& writer, uint64_t found,
                                const uint8_t* differences, size_t first) {
  for (size_t c = 0; c < kStepColumns; ++c) {
    for (uint64_t left = column_bits(found, c); left != 0; left &= left - 1) {
      const size_t row = static_cast<size_t>(__builtin_ctzll(left));
      if (!writer.add((first + c) * kWindowRows + row, differences[row * kStepColumns + c])) {
        return false;
      }
    }
  }
  return true;
}

// Calls work(column, windows) with what symbols are above `low`, tile by tile, until it returns
// false.
template <typename Work>
inline bool for_each_tile(const SymbolBlock& block, uint8_t low, const Work& work) {
  alignas(64) uint8_t staged[kWindowRows * kStagedColumns];
  for (size_t column = 0; column < block.columns; column += kTileColumns) {
    alignas(64) uint8_t windows[kTileSymbols];
    const size_t within = column % kStagedColumns;
    if (within == 0) stage_columns(block, column, low, staged);
    load_tile(staged + within, kStagedColumns, low, windows);
    if (!work(column, windows)) return false;
  }
  return true;
}

static PackedOutside pack_listed_group(const SymbolBlock& block, Window window,
                                       unsigned symbol_bits, uint8_t* tiles, uint8_t* outside,
                                       size_t room) {
  uint16_t* const list = reinterpret_cast<uint16_t*>(outside);
  ExceptionWriter writer = {list, list + room / sizeof(uint16_t), symbol_bits, window.low};
  const bool fits = for_each_tile(block, window.low, [&](size_t column, uint8_t* windows) {
    for (size_t step = 0; step < kTileSteps; ++step) {
      uint8_t* const at = windows + step * kStepBytes;
      alignas(64) uint8_t before[kStepBytes];
      __builtin_memcpy(before, at, kStepBytes);
      const uint64_t found = take_exceptions(at, window.bits);
      if (found == 0) continue;
      const size_t first = column + step * kStepColumns;
      if (!add_step_exceptions(writer, found, before, first)) return false;
    }
    pack_tile(windows, window.bits, tiles);
    tiles += tile_bytes(window.bits);
    return true;
  });
  if (!fits) return {};
  const size_t count = static_cast<size_t>(writer.next - list);
  return {true, static_cast<uint32_t>(count), count * sizeof(uint16_t)};
}

static PackedOutside pack_group(const SymbolBlock& block, Window window, unsigned symbol_bits,
                                uint8_t* tiles, uint8_t* outside, size_t room) {
  if (!window.escapes) {
    return pack_listed_group(block, window, symbol_bits, tiles, outside, room);
  }
  uint8_t* literals = outside;
  const bool fits = for_each_tile(block, window.low, [&](size_t, uint8_t* windows) {
    for (size_t step = 0; step < kTileSteps; ++step) {
      // Taken aside, for a whole step is written at a time.
      uint8_t taken[kStepBytes];
      const uint8_t* const end = take_escapes(windows + step * kStepBytes, window, taken);
      const size_t count = static_cast<size_t>(end - taken);
      if (static_cast<size_t>(outside + room - literals) < count) return false;
      __builtin_memcpy(literals, taken, count);
      literals += count;
    }
    pack_tile(windows, window.bits, tiles);
    tiles += tile_bytes(window.bits);
    return true;
  });
  if (!fits) return {};
  const size_t count = static_cast<size_t>(literals - outside);
  return {true, static_cast<uint32_t>(count), count};
}

// Takes the symbols of a group tile by tile.
class GroupUnpacker {
 public:
  GroupUnpacker() = default;
  GroupUnpacker(const WindowGroup& group, unsigned symbol_bits)
      : group_(&group), symbol_bits_(symbol_bits) {
    if (!group.is_listed()) cursor_ = EscapeCursor(group);
  }

  // The next `columns` columns, a multiple of a tile's unless they are the last ones, in steps.
  void unpack(size_t columns, uint8_t* symbols) {
    const size_t tiles = group_tiles(*group_, columns);
    const size_t tile_columns = group_tile_columns(*group_);
    const size_t bytes = group_tile_bytes(*group_);
    for (size_t i = 0; i < tiles; ++i) {
      uint8_t* const to = symbols + i * tile_columns * kWindowRows;
      const uint8_t* const from = group_->tiles + (tile_ + i) * bytes;
      if (group_->codebook != nullptr) {
        unpack_codes(from, *group_->codebook, cursor_, to);
      } else if (group_->window.escapes) {
        unpack_escaped(from, group_->window, cursor_, to);
      } else {
        unpack_tile(from, group_->window, to);
      }
    }
    if (group_->is_listed()) {
      patch(tile_ * tile_columns, (tile_ + tiles) * tile_columns * kWindowRows, symbols);
    }
    tile_ += tiles;
  }

 private:
  // Puts the exceptions before place `end` into what was unpacked from column `begin` on.
  void patch(size_t begin, size_t end, uint8_t* symbols) {
    const unsigned symbol_mask = (1u << symbol_bits_) - 1;
    for (; listed_ < group_->exception_count; ++listed_) {
      const unsigned entry = group_->list()[listed_];
      const size_t place = place_ + (entry >> symbol_bits_);
      if (place >= end) return;
      place_ = place;
      // Added, for an entry that only bridges a distance must leave its place as it is.
      uint8_t& symbol = symbols[step_place(place % kWindowRows, place / kWindowRows - begin)];
      symbol = static_cast<uint8_t>(symbol + (entry & symbol_mask) - group_->window.low);
    }
  }

  const WindowGroup* group_ = nullptr;
  unsigned symbol_bits_ = 0;
  size_t tile_ = 0;
  size_t listed_ = 0;
  size_t place_ = 0;
  EscapeCursor cursor_;
};

static void unpack_row(const WindowGroup& group, unsigned symbol_bits, size_t row, size_t count,
                       uint8_t* symbols) {
  GroupUnpacker unpacker(group, symbol_bits);
  const size_t tile_columns = group_tile_columns(group);
  for (size_t column = 0; column < count; column += tile_columns) {
    alignas(64) uint8_t tile[kMostTileSymbols];
    unpacker.unpack(tile_columns, tile);
    const size_t left = count - column;
    for (size_t c = 0; c < tile_columns && c < left; ++c) {
      symbols[column + c] = tile[step_place(row, c)];
    }
  }
}
