// Symbols to tiles with escapes with AVX-512 (window_escapes.body.h).

inline uint8_t* take_escapes(uint8_t* windows, Window window, uint8_t* literals) {
  const __m512i escape = _mm512_set1_epi8(static_cast<char>(window_width(window)));
  const __m512i low = _mm512_set1_epi8(static_cast<char>(window.low));
  const __m512i step = load_vector(windows);
  const __mmask64 outside = _mm512_cmpge_epu8_mask(step, escape);
  _mm512_storeu_si512(windows, _mm512_min_epu8(step, escape));
  _mm512_storeu_si512(literals,
                      _mm512_maskz_compress_epi8(outside, _mm512_add_epi8(step, low)));
  return literals + count_places(outside);
}

inline void pack_indices(const uint8_t* indices, unsigned bits, uint8_t* tile) {
  if (bits == 8) {
    __builtin_memcpy(tile, indices, kIndexVectors * kStepBytes);
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

inline uint64_t places_of(const uint8_t* bytes, uint8_t value) {
  return _mm512_cmpeq_epi8_mask(load_vector(bytes), _mm512_set1_epi8(static_cast<char>(value)));
}

// Of a pair's key the seven lowest bits name one of 128 indices in a table, the three highest which
// table.
inline void code_pairs(const uint8_t* symbols, const CodebookCodes& codes, uint8_t* indices) {
  const __m512i low = _mm512_set1_epi8(static_cast<char>(codes.range_low));
  const __m512i escape = _mm512_set1_epi8(static_cast<char>(codes.codebook->escape()));
  for (size_t v = 0; v < kIndexVectors; ++v) {
    const uint8_t* const from = symbols + 2 * v * kStepBytes;
    const __m512i early = _mm512_sub_epi8(load_vector(from), low);
    const __m512i late = _mm512_sub_epi8(load_vector(from + kStepBytes), low);
    const __mmask64 outside =
        _mm512_test_epi8_mask(_mm512_or_si512(early, late), _mm512_set1_epi8(~31));
    // early | (late << 5 & 0x60): shifting words moves bits of one byte into the next, but of the
    // late digit only the two lowest bits are wanted, and those stay within the byte.
    const __m512i within =
        insert_bits(early, _mm512_slli_epi16(late, 5), _mm512_set1_epi8(0x60));
    const __mmask64 bits[3] = {_mm512_test_epi8_mask(late, _mm512_set1_epi8(4)),
                               _mm512_test_epi8_mask(late, _mm512_set1_epi8(8)),
                               _mm512_test_epi8_mask(late, _mm512_set1_epi8(16))};
    __m512i found[8];
    for (size_t table = 0; table < 8; ++table) {
      const uint8_t* const entries = codes.near + 128 * table;
      found[table] = _mm512_permutex2var_epi8(load_vector(entries), within,
                                              load_vector(entries + 64));
    }
    for (size_t level = 0; level < 3; ++level) {
      for (size_t i = 0; i < size_t{4} >> level; ++i) {
        found[i] = _mm512_mask_blend_epi8(bits[level], found[2 * i], found[2 * i + 1]);
      }
    }
    _mm512_storeu_si512(indices + v * kStepBytes,
                        _mm512_mask_blend_epi8(outside, found[0], escape));
  }
}

inline void code_tile(const uint8_t* symbols, const CodebookCodes& codes, uint8_t* indices) {
  if (codes.codebook->tuple == 2) return code_pairs(symbols, codes, indices);
  for (size_t v = 0; v < kIndexVectors; ++v) {
    const uint8_t* const from = symbols + v * 4 * kStepBytes;
    for (size_t i = 0; i < kStepBytes; ++i) {
      const unsigned key = from[i] | from[kStepBytes + i] << 4 | from[2 * kStepBytes + i] << 8 |
                           static_cast<unsigned>(from[3 * kStepBytes + i]) << 12;
      indices[v * kStepBytes + i] = codes.near[key];
    }
  }
}
