// What tiles with escapes hold with AVX-512: the literals of a step are expanded to where its
// escapes are, and a codebook's tables stay in registers, where a look-up of 64 indices is one to
// three byte permutations.

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

// The literals that come next, as they are to stand in the places of their escapes: symbols of
// windows, or the two bytes of tuples.
struct Literals {
  const uint8_t* first;
  const uint8_t* second;
};

inline size_t count_places(__mmask64 places) {
  return static_cast<size_t>(__builtin_popcountll(places));
}

// Places of `values` that are escapes get the bytes that come next at `bytes`. These are loaded
// first, for expanding them from memory is microcode on AMD's processors.
inline __m512i expand_literals(__m512i values, __mmask64 escapes, const uint8_t* bytes) {
  __m512i literals = load_vector(bytes);
  asm("" : "+v"(literals));
  return _mm512_mask_expand_epi8(values, escapes, literals);
}

template <unsigned kBits>
struct EscapedTiles {
  static constexpr size_t kBytes = tile_bytes(kBits);
  static constexpr size_t kSteps = kTileSteps;
  static constexpr unsigned kOddShift = 0;

  __m512i escape;
  __m512i low;

  explicit EscapedTiles(const Window& window)
      : escape(_mm512_set1_epi8(static_cast<char>(window_width(window)))),
        low(_mm512_set1_epi8(static_cast<char>(window.low))) {}
  explicit EscapedTiles(const WindowGroup& group) : EscapedTiles(group.window) {}

  template <size_t kHalf, bool>
  [[gnu::always_inline]] void load(const uint8_t* tile, Literals& literals, Steps& step) const {
    load_windows<kBits>(tile, step);
#pragma GCC unroll 8
    for (__m512i& each : step) {
      const __mmask64 escapes = _mm512_cmpeq_epi8_mask(each, escape);
      each = expand_literals(_mm512_add_epi8(each, low), escapes, literals.first);
      literals.first += count_places(escapes);
    }
  }
};

template <unsigned kTuple, unsigned kBits>
struct CodeTiles {
  static constexpr size_t kBytes = coded_tile_bytes(kBits);
  static constexpr size_t kSteps = kIndexVectors * kTuple;
  // Of nibbles the upper ones need not be shifted down.
  static constexpr unsigned kOddShift = kTuple == 4 ? 4 : 0;

  __m512i escape;
  CodeTable<kBits> first;
  CodeTable<kBits> second;

  explicit CodeTiles(const Codebook& codebook)
      : escape(_mm512_set1_epi8(static_cast<char>(codebook.escape()))),
        first(codebook.near.first),
        second(codebook.near.second) {}
  explicit CodeTiles(const WindowGroup& group) : CodeTiles(*group.codebook) {}

  // Eight steps: of tuples of four the tile's first or second ones.
  template <size_t kHalf, bool kShifted>
  [[gnu::always_inline]] void load(const uint8_t* tile, Literals& literals, Steps& step) const {
    if constexpr (kTuple == 2) {
      load_pairs<0>(tile, literals, step);
      load_pairs<1>(tile, literals, step);
      load_pairs<2>(tile, literals, step);
      load_pairs<3>(tile, literals, step);
    } else {
      load_fours<2 * kHalf, kShifted>(tile, literals, step);
      load_fours<2 * kHalf + 1, kShifted>(tile, literals, step + 4);
    }
  }

 private:
  template <size_t kVector>
  [[gnu::always_inline]] void load_tuples(const uint8_t* tile, Literals& literals, __m512i& early,
                                          __m512i& late) const {
    const __m512i index = load_indices<kBits, kVector>(tile);
    const __mmask64 escapes = _mm512_cmpeq_epi8_mask(index, escape);
    early = expand_literals(first.look_up(index), escapes, literals.first);
    late = expand_literals(second.look_up(index), escapes, literals.second);
    const size_t count = count_places(escapes);
    literals.first += count;
    literals.second += count;
  }

  template <size_t kVector>
  [[gnu::always_inline]] void load_pairs(const uint8_t* tile, Literals& literals,
                                         __m512i* step) const {
    load_tuples<kVector>(tile, literals, step[2 * kVector], step[2 * kVector + 1]);
  }

  template <size_t kVector, bool kShifted>
  [[gnu::always_inline]] void load_fours(const uint8_t* tile, Literals& literals,
                                         __m512i* step) const {
    __m512i early, late;
    load_tuples<kVector>(tile, literals, early, late);
    load_nibbles<kShifted>(early, step);
    load_nibbles<kShifted>(late, step + 2);
  }

  template <bool kShifted>
  [[gnu::always_inline]] static void load_nibbles(__m512i bytes, __m512i* step) {
    const __m512i low = _mm512_set1_epi8(15);
    step[0] = _mm512_and_si512(bytes, low);
    step[1] = kShifted ? _mm512_andnot_si512(low, bytes)
                       : _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low);
  }
};

// A type as an argument.
template <typename Tiles>
struct TilesType {
  using Type = Tiles;
};

// Calls run(TilesType<T>) with the kind of tiles that a codebook makes.
template <unsigned kTuple, typename Run>
inline void with_index_bits(unsigned bits, const Run& run) {
  switch (bits) {
    case 5: return run(TilesType<CodeTiles<kTuple, 5>>());
    case 6: return run(TilesType<CodeTiles<kTuple, 6>>());
    case 7: return run(TilesType<CodeTiles<kTuple, 7>>());
    default: return run(TilesType<CodeTiles<kTuple, 8>>());
  }
}

template <typename Run>
inline void with_code_tiles(const Codebook& codebook, const Run& run) {
  if (codebook.tuple == 2) return with_index_bits<2>(codebook.index_bits, run);
  with_index_bits<4>(codebook.index_bits, run);
}

// The same for windows with escapes.
template <typename Run>
inline void with_escaped_tiles(unsigned bits, const Run& run) {
  switch (bits) {
    case 1: return run(TilesType<EscapedTiles<1>>());
    case 2: return run(TilesType<EscapedTiles<2>>());
    case 3: return run(TilesType<EscapedTiles<3>>());
    case 4: return run(TilesType<EscapedTiles<4>>());
    case 5: return run(TilesType<EscapedTiles<5>>());
    case 6: return run(TilesType<EscapedTiles<6>>());
    default: return run(TilesType<EscapedTiles<7>>());
  }
}
