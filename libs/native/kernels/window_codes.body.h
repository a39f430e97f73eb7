// Tiles of indices into a codebook (window_format.h, RESIDENT.md), in plain C++. An instruction set
// that has fast look-ups defines the same functions in its own window_codes_<isa>.body.h.

constexpr bool kHasFastCodebooks = false;

// indices[v * 64 + i] for the tuples of a tile of symbols: place i of `tuple` steps from v * tuple
// on.
inline void code_tile(const uint8_t* symbols, const CodebookCodes& codes, uint8_t* indices) {
  const size_t tuple = codes.codebook->tuple;
  const unsigned key_bits = tuple == 2 ? 5 : 4;
  const unsigned filler = static_cast<uint8_t>(codes.codebook->filler - codes.range_low);
  for (size_t v = 0; v < kTileSteps / tuple; ++v) {
    for (size_t i = 0; i < kStepBytes; ++i) {
      unsigned key = 0;
      for (size_t k = 0; k < tuple; ++k) {
        const unsigned offset =
            static_cast<uint8_t>(symbols[(v * tuple + k) * kStepBytes + i] - codes.range_low);
        key |= (offset >> key_bits == 0 ? offset : filler) << (key_bits * k);
      }
      indices[v * kStepBytes + i] = codes.codes[key];
    }
  }
}

// The indices of all vectors of a tile to its planes.
inline void pack_indices(const uint8_t* indices, unsigned tuple, unsigned bits, uint8_t* tile) {
  const size_t count = kTileSymbols / tuple;
  if (bits == 8) {
    __builtin_memcpy(tile, indices, count);
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
  for (size_t byte = 0; byte < count / 8; ++byte) {
    unsigned packed = 0;
    for (size_t k = 0; k < 8; ++k) {
      packed |= (indices[8 * byte + k] >> (bits - 1) & 1u) << k;
    }
    next[byte] = static_cast<uint8_t>(packed);
  }
}

// Bit i: a[i] and b[i] differ, for 64 bytes.
inline uint64_t differing(const uint8_t* a, const uint8_t* b) {
  uint64_t found = 0;
  for (size_t i = 0; i < kStepBytes; ++i) found |= static_cast<uint64_t>(a[i] != b[i]) << i;
  return found;
}

inline void unpack_codes(const uint8_t* tile, const Codebook& codebook, uint8_t* symbols) {
  const bool pairs = codebook.tuple == 2;
  for (size_t v = 0; v < kTileSteps / codebook.tuple; ++v) {
    for (size_t i = 0; i < kStepBytes; ++i) {
      const unsigned index = index_at(tile, codebook.index_bits, v, i);
      const uint8_t first = codebook.first[index];
      const uint8_t second = codebook.second[index];
      uint8_t* const to = symbols + v * codebook.tuple * kStepBytes + i;
      if (pairs) {
        to[0] = first;
        to[kStepBytes] = second;
      } else {
        to[0] = first & 15;
        to[kStepBytes] = first >> 4;
        to[2 * kStepBytes] = second & 15;
        to[3 * kStepBytes] = second >> 4;
      }
    }
  }
}

// sums[p][r] = sum of symbols times wholes over `tiles` tiles of a group, for the first kPositions
// positions.
template <unsigned kSymbolBits, size_t kPositions>
inline void dot_codes(const WindowGroup& group, size_t tiles, const Activations& inputs,
                      ReadAhead&, int64_t (&sums)[kPositions][kWindowRows]) {
  for (auto& of_position : sums) {
    for (int64_t& sum : of_position) sum = 0;
  }
  for (size_t tile = 0; tile < tiles; ++tile) {
    uint8_t symbols[kTileSymbols];
    unpack_codes(group.tiles + tile * group_tile_bytes(group), *group.codebook, symbols);
    for (size_t p = 0; p < kPositions; ++p) {
      const int16_t* whole = inputs.whole + p * inputs.stride + tile * kTileColumns;
      for (size_t i = 0; i < kTileSymbols; ++i) {
        const size_t row = i / kStepColumns % kWindowRows;
        sums[p][row] += symbols[i] * whole[i / kStepBytes * kStepColumns + i % kStepColumns];
      }
    }
  }
  add_all_exceptions<kSymbolBits>(group, inputs, sums);
}
