// Tiles of indices into a codebook with AVX-512: the tables stay in registers, and a look-up of 64
// indices is one to three byte permutations.

constexpr bool kHasFastCodebooks = true;

inline __m512i load_vector(const uint8_t* from) { return _mm512_loadu_si512(from); }

// (value where mask is set) | others.
inline __m512i insert_bits(__m512i others, __m512i value, __m512i mask) {
  return _mm512_ternarylogic_epi64(others, value, mask, 0xF8);
}

// 64 look-ups in the entries that kBits can name.
template <unsigned kBits>
struct CodeTable {
  __m512i parts[kBits <= 6 ? 1 : kBits == 7 ? 2 : 4];

  explicit CodeTable(const uint8_t* entries) {
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); ++i) {
      parts[i] = load_vector(entries + 64 * i);
    }
  }

  __m512i look_up(__m512i index) const {
    if constexpr (kBits <= 6) {
      return _mm512_permutexvar_epi8(index, parts[0]);
    } else if constexpr (kBits == 7) {
      return _mm512_permutex2var_epi8(parts[0], index, parts[1]);
    } else {
      const __m512i low = _mm512_permutex2var_epi8(parts[0], index, parts[1]);
      const __m512i high = _mm512_permutex2var_epi8(parts[2], index, parts[3]);
      return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
    }
  }
};

// Index vector kVector of a tile of pairs (window_code_index.body.h).
template <unsigned kBits, size_t kVector>
inline __m512i load_indices(const uint8_t* tile) {
  if constexpr (kBits == 8) {
    return load_vector(tile + kVector * kStepBytes);
  } else {
    __m512i index = load_vector(tile + kVector / 2 * kStepBytes);
    if constexpr (kVector % 2 == 1) index = _mm512_srli_epi16(index, 4);
    index = _mm512_and_si512(index, _mm512_set1_epi8(15));
    if constexpr ((kBits & 2) != 0) {
      __m512i next = load_vector(tile + 2 * kStepBytes);
      if constexpr (kVector < 2) next = _mm512_slli_epi16(next, 4 - 2 * kVector);
      if constexpr (kVector == 3) next = _mm512_srli_epi16(next, 2);
      index = insert_bits(index, next, _mm512_set1_epi8(0x30));
    }
    if constexpr ((kBits & 1) != 0) {
      const uint8_t* const highest = tile + ((kBits & 2) != 0 ? 3 : 2) * kStepBytes;
      uint64_t mask;
      __builtin_memcpy(&mask, highest + kVector * sizeof(mask), sizeof(mask));
      index = _mm512_mask_add_epi8(index, mask, index, _mm512_set1_epi8(1 << (kBits - 1)));
    }
    return index;
  }
}

template <unsigned kTuple, unsigned kBits>
struct CodeTiles {
  static constexpr size_t kBytes = coded_tile_bytes(kTuple, kBits);

  CodeTable<kBits> first;
  CodeTable<kBits> second;

  explicit CodeTiles(const Codebook& codebook) : first(codebook.first), second(codebook.second) {}
  explicit CodeTiles(const WindowGroup& group) : CodeTiles(*group.codebook) {}

  [[gnu::always_inline]] void load(const uint8_t* tile, Steps& step) const {
    if constexpr (kTuple == 2) {
      load_pairs<0>(tile, step);
      load_pairs<1>(tile, step);
      load_pairs<2>(tile, step);
      load_pairs<3>(tile, step);
    } else {
      load_fours(tile, step);
      load_fours(tile + kStepBytes, step + 4);
    }
  }

 private:
  template <size_t kVector>
  [[gnu::always_inline]] void load_pairs(const uint8_t* tile, __m512i* step) const {
    const __m512i index = load_indices<kBits, kVector>(tile);
    step[2 * kVector] = first.look_up(index);
    step[2 * kVector + 1] = second.look_up(index);
  }

  [[gnu::always_inline]] void load_fours(const uint8_t* tile, __m512i* step) const {
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i index = load_vector(tile);
    const __m512i early = first.look_up(index);
    const __m512i late = second.look_up(index);
    step[0] = _mm512_and_si512(early, nibble);
    step[1] = _mm512_and_si512(_mm512_srli_epi16(early, 4), nibble);
    step[2] = _mm512_and_si512(late, nibble);
    step[3] = _mm512_and_si512(_mm512_srli_epi16(late, 4), nibble);
  }
};

// A type as an argument.
template <typename Tiles>
struct TilesType {
  using Type = Tiles;
};

// Calls run(TilesType<T>) with the kind of tiles that a codebook makes.
template <typename Run>
inline void with_code_tiles(const Codebook& codebook, const Run& run) {
  if (codebook.tuple == 4) return run(TilesType<CodeTiles<4, 8>>());
  if (codebook.index_bits == 5) return run(TilesType<CodeTiles<2, 5>>());
  if (codebook.index_bits == 6) return run(TilesType<CodeTiles<2, 6>>());
  if (codebook.index_bits == 7) return run(TilesType<CodeTiles<2, 7>>());
  run(TilesType<CodeTiles<2, 8>>());
}

inline void unpack_codes(const uint8_t* tile, const Codebook& codebook, uint8_t* symbols) {
  with_code_tiles(codebook, [&](auto type) {
    const typename decltype(type)::Type tiles(codebook);
    Steps step;
    tiles.load(tile, step);
    for (size_t i = 0; i < kTileSteps; ++i) {
      _mm512_storeu_si512(symbols + i * kStepBytes, step[i]);
    }
  });
}

inline void pack_indices(const uint8_t* indices, unsigned tuple, unsigned bits, uint8_t* tile) {
  if (bits == 8) {
    __builtin_memcpy(tile, indices, kTileSymbols / tuple);
    return;
  }
  __m512i index[4];
  for (size_t v = 0; v < 4; ++v) index[v] = load_vector(indices + v * kStepBytes);
  const __m512i low = _mm512_set1_epi8(0x0F);
  const __m512i high = _mm512_set1_epi8(static_cast<char>(0xF0));
  for (size_t v = 0; v < 2; ++v) {
    const __m512i second = _mm512_and_si512(_mm512_slli_epi16(index[2 * v + 1], 4), high);
    _mm512_storeu_si512(tile, insert_bits(second, index[2 * v], low));
    tile += kStepBytes;
  }
  if ((bits & 2) != 0) {
    __m512i pairs = _mm512_and_si512(_mm512_srli_epi16(index[0], 4), _mm512_set1_epi8(0x03));
    pairs = insert_bits(pairs, _mm512_srli_epi16(index[1], 2), _mm512_set1_epi8(0x0C));
    pairs = insert_bits(pairs, index[2], _mm512_set1_epi8(0x30));
    pairs = insert_bits(pairs, _mm512_slli_epi16(index[3], 2),
                        _mm512_set1_epi8(static_cast<char>(0xC0)));
    _mm512_storeu_si512(tile, pairs);
    tile += kStepBytes;
  }
  if ((bits & 1) == 0) return;
  const __m512i highest = _mm512_set1_epi8(static_cast<char>(1 << (bits - 1)));
  for (size_t v = 0; v < 4; ++v) {
    const uint64_t mask = _mm512_test_epi8_mask(index[v], highest);
    __builtin_memcpy(tile + v * sizeof(mask), &mask, sizeof(mask));
  }
}

inline uint64_t differing(const uint8_t* a, const uint8_t* b) {
  return _mm512_cmpneq_epi8_mask(load_vector(a), load_vector(b));
}

// Of pairs: a key's seven lowest bits name one of 128 codes in a table, the three highest which
// table.
inline void code_pairs(const uint8_t* symbols, const CodebookCodes& codes, uint8_t* indices) {
  const __m512i low = _mm512_set1_epi8(static_cast<char>(codes.range_low));
  const __m512i filler = _mm512_set1_epi8(
      static_cast<char>(codes.codebook->filler - codes.range_low));
  const __m512i most = _mm512_set1_epi8(31);
  const auto digit_at = [&](size_t step) {
    const __m512i offset = _mm512_sub_epi8(load_vector(symbols + step * kStepBytes), low);
    return _mm512_mask_mov_epi8(offset, _mm512_cmpgt_epu8_mask(offset, most), filler);
  };
  for (size_t v = 0; v < kTileSteps / 2; ++v) {
    const __m512i early = digit_at(2 * v);
    const __m512i late = digit_at(2 * v + 1);
    // early | (late << 5 & 0x60): shifting words moves bits of one byte into the next, but of the
    // late digit only the two lowest bits are wanted, and those stay within the byte.
    const __m512i within =
        insert_bits(early, _mm512_slli_epi16(late, 5), _mm512_set1_epi8(0x60));
    const __mmask64 bits[3] = {_mm512_test_epi8_mask(late, _mm512_set1_epi8(4)),
                               _mm512_test_epi8_mask(late, _mm512_set1_epi8(8)),
                               _mm512_test_epi8_mask(late, _mm512_set1_epi8(16))};
    __m512i found[8];
    for (size_t table = 0; table < 8; ++table) {
      const uint8_t* const entries = codes.codes + 128 * table;
      found[table] = _mm512_permutex2var_epi8(load_vector(entries), within,
                                              load_vector(entries + 64));
    }
    for (size_t level = 0; level < 3; ++level) {
      for (size_t i = 0; i < size_t{4} >> level; ++i) {
        found[i] = _mm512_mask_blend_epi8(bits[level], found[2 * i], found[2 * i + 1]);
      }
    }
    _mm512_storeu_si512(indices + v * kStepBytes, found[0]);
  }
}

inline void code_tile(const uint8_t* symbols, const CodebookCodes& codes, uint8_t* indices) {
  if (codes.codebook->tuple == 2) return code_pairs(symbols, codes, indices);
  for (size_t v = 0; v < kTileSteps / 4; ++v) {
    const uint8_t* const from = symbols + v * 4 * kStepBytes;
    for (size_t i = 0; i < kStepBytes; ++i) {
      const unsigned key = from[i] | from[kStepBytes + i] << 4 | from[2 * kStepBytes + i] << 8 |
                           static_cast<unsigned>(from[3 * kStepBytes + i]) << 12;
      indices[v * kStepBytes + i] = codes.codes[key];
    }
  }
}

template <unsigned kSymbolBits, size_t kPositions>
inline void dot_codes(const WindowGroup& group, size_t tiles, const Activations& inputs,
                      ReadAhead& ahead, int64_t (&sums)[kPositions][kWindowRows]) {
  with_code_tiles(*group.codebook, [&](auto type) {
    dot_tiles<typename decltype(type)::Type, kSymbolBits>(group, tiles, inputs, ahead, sums);
  });
}
