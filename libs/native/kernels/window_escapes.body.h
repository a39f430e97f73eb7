// Tiles whose escapes stand for literals (window_format.h, RESIDENT.md), in plain C++: those of
// windows with escapes and of indices into a codebook. An instruction set that expands bytes under
// a mask defines the same functions in its own window_escapes_<isa>.body.h.

constexpr bool kHasFastEscapes = false;

// Where the literals of a group continue in its next tile.
struct EscapeCursor {
  const uint8_t* symbol = nullptr;  // the next literal of a window
  LiteralReader tuples;

  EscapeCursor() = default;
  explicit EscapeCursor(const WindowGroup& group) {
    if (group.codebook != nullptr) {
      tuples = LiteralReader(group);
    } else {
      symbol = group.outside;
    }
  }
};

// Makes windows[i] = q - low of a step the escape of `bits` where they are that or more, and
// appends the symbols of those places to the literals. Returns the new end of the literals.
inline uint8_t* take_escapes(uint8_t* windows, Window window, uint8_t* literals) {
  const uint8_t escape = static_cast<uint8_t>(window_width(window));
  for (size_t i = 0; i < kStepBytes; ++i) {
    if (windows[i] < escape) continue;
    *literals++ = static_cast<uint8_t>(windows[i] + window.low);
    windows[i] = escape;
  }
  return literals;
}

// The symbols of a group's next tile of windows with escapes.
inline void unpack_escaped(const uint8_t* tile, Window window, EscapeCursor& cursor,
                           uint8_t* symbols) {
  unpack_tile(tile, {window.bits, 0}, symbols);
  const uint8_t escape = static_cast<uint8_t>(window_width(window));
  for (size_t i = 0; i < kTileSymbols; ++i) {
    symbols[i] = symbols[i] == escape ? *cursor.symbol++
                                      : static_cast<uint8_t>(symbols[i] + window.low);
  }
}

// indices[v * 64 + i] for the tuples of a tile of symbols: place i of `tuple` steps from v * tuple
// on.
inline void code_tile(const uint8_t* symbols, const CodebookCodes& codes, uint8_t* indices) {
  const size_t tuple = codes.codebook->tuple;
  for (size_t v = 0; v < kIndexVectors; ++v) {
    for (size_t i = 0; i < kStepBytes; ++i) {
      const TupleKey key = key_at(symbols + v * tuple * kStepBytes + i, codes);
      indices[v * kStepBytes + i] = key.inside ? codes.near[key.key] : codes.codebook->escape();
    }
  }
}

// The indices of all vectors of a tile to its planes.
inline void pack_indices(const uint8_t* indices, unsigned bits, uint8_t* tile) {
  constexpr size_t kCount = kIndexVectors * kStepBytes;
  if (bits == 8) {
    __builtin_memcpy(tile, indices, kCount);
    return;
  }
  const uint8_t* const v0 = indices;
  const uint8_t* const v1 = indices + kStepBytes;
  const uint8_t* const v2 = indices + 2 * kStepBytes;
  const uint8_t* const v3 = indices + 3 * kStepBytes;
  for (size_t i = 0; i < kStepBytes; ++i) {
    tile[i] = static_cast<uint8_t>((v0[i] & 15) | v1[i] << 4);
    tile[kStepBytes + i] = static_cast<uint8_t>((v2[i] & 15) | v3[i] << 4);
  }
  uint8_t* next = tile + 2 * kStepBytes;
  if ((bits & 2) != 0) {
    for (size_t i = 0; i < kStepBytes; ++i) {
      next[i] = static_cast<uint8_t>((v0[i] >> 4 & 3) | (v1[i] >> 4 & 3) << 2 |
                                     (v2[i] >> 4 & 3) << 4 | (v3[i] >> 4 & 3) << 6);
    }
    next += kStepBytes;
  }
  if ((bits & 1) == 0) return;
  for (size_t byte = 0; byte < kCount / 8; ++byte) {
    unsigned packed = 0;
    for (size_t k = 0; k < 8; ++k) {
      packed |= (indices[8 * byte + k] >> (bits - 1) & 1u) << k;
    }
    next[byte] = static_cast<uint8_t>(packed);
  }
}

// Bit i: bytes[i] is `value`, for 64 bytes.
inline uint64_t places_of(const uint8_t* bytes, uint8_t value) {
  uint64_t found = 0;
  for (size_t i = 0; i < kStepBytes; ++i) found |= static_cast<uint64_t>(bytes[i] == value) << i;
  return found;
}

// The symbols of a group's next tile of indices: kIndexVectors times a tuple's steps.
inline void unpack_codes(const uint8_t* tile, const Codebook& codebook, EscapeCursor& cursor,
                         uint8_t* symbols) {
  const uint8_t escape = codebook.escape();
  for (size_t v = 0; v < kIndexVectors; ++v) {
    for (size_t i = 0; i < kStepBytes; ++i) {
      const unsigned index = index_at(tile, codebook.index_bits, v, i);
      const TupleBytes tuple = index == escape
                                   ? cursor.tuples.next()
                                   : TupleBytes{codebook.near.first[index],
                                                codebook.near.second[index]};
      uint8_t* const to = symbols + v * codebook.tuple * kStepBytes + i;
      if (codebook.tuple == 2) {
        to[0] = tuple.first;
        to[kStepBytes] = tuple.second;
      } else {
        to[0] = tuple.first & 15;
        to[kStepBytes] = tuple.first >> 4;
        to[2 * kStepBytes] = tuple.second & 15;
        to[3 * kStepBytes] = tuple.second >> 4;
      }
    }
  }
}

// sums[p][r] = sum of symbols times wholes over a group with escapes, for the first kPositions
// positions.
template <size_t kPositions>
inline void dot_escaped(const WindowGroup& group, size_t columns, const Activations& inputs,
                        ReadAhead&, uint8_t*, int64_t (&sums)[kPositions][kWindowRows]) {
  for (auto& of_position : sums) {
    for (int64_t& sum : of_position) sum = 0;
  }
  const size_t tiles = group_tiles(group, columns);
  const size_t tile_columns = group_tile_columns(group);
  EscapeCursor cursor(group);
  for (size_t tile = 0; tile < tiles; ++tile) {
    uint8_t symbols[kMostTileSymbols];
    const uint8_t* const from = group.tiles + tile * group_tile_bytes(group);
    if (group.codebook != nullptr) {
      unpack_codes(from, *group.codebook, cursor, symbols);
    } else {
      unpack_escaped(from, group.window, cursor, symbols);
    }
    for (size_t p = 0; p < kPositions; ++p) {
      const int16_t* whole = inputs.whole + p * inputs.stride + tile * tile_columns;
      for (size_t i = 0; i < tile_columns * kWindowRows; ++i) {
        const size_t row = i / kStepColumns % kWindowRows;
        sums[p][row] += symbols[i] * whole[i / kStepBytes * kStepColumns + i % kStepColumns];
      }
    }
  }
}
