// Encoding blocks of lanes with AVX-512 (VBMI, VBMI2): what codec_lanes_encode.body.h does, 32
// lanes a register. Included by codec_kernels.body.h.

// A table of 256 bytes, looked up with 64 indices at once.
struct ByteTable {
  __m512i from_0;
  __m512i from_64;
  __m512i from_128;
  __m512i from_192;

  explicit ByteTable(const uint8_t* table)
      : from_0(_mm512_load_si512(table)),
        from_64(_mm512_load_si512(table + 64)),
        from_128(_mm512_load_si512(table + 128)),
        from_192(_mm512_load_si512(table + 192)) {}

  __m512i at(__m512i indices) const {
    const __m512i low = _mm512_permutex2var_epi8(from_0, indices, from_64);
    const __m512i high = _mm512_permutex2var_epi8(from_128, indices, from_192);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(indices), low, high);
  }
};

// The even or the odd lanes of a group, one in each 16-bit element. The opposite of HalfGroup.
struct EncodedHalf {
  __m512i near;
  __m512i middle;
  __m512i far;
  // 0 to 15.
  __m512i positions;

  EncodedHalf(const LaneState& state, size_t first) {
    near = _mm512_load_si512(state.words[0] + first);
    middle = _mm512_load_si512(state.words[1] + first);
    far = _mm512_load_si512(state.words[2] + first);
    positions = _mm512_load_si512(state.positions + first);
  }

  void store(LaneState* state, size_t first) const {
    _mm512_store_si512(state->words[0] + first, near);
    _mm512_store_si512(state->words[1] + first, middle);
    _mm512_store_si512(state->words[2] + first, far);
    _mm512_store_si512(state->positions + first, positions);
  }

  // Puts a code word of `lengths` bits before each lane's bits, and the words that lanes have no
  // more room for before `begin`, which is at least 64 bytes after where it may go. Returns the new
  // begin.
  uint8_t* put(__m512i code_words, __m512i lengths, uint8_t* begin) {
    const __mmask32 gives = _mm512_cmplt_epu16_mask(positions, lengths);
    const __m512i stayed = _mm512_sub_epi16(positions, lengths);
    positions = _mm512_mask_add_epi16(stayed, gives, stayed, _mm512_set1_epi16(16));
    const unsigned given = static_cast<unsigned>(_mm_popcnt_u32(gives));
    begin -= sizeof(uint16_t) * given;
    const __mmask32 first = static_cast<__mmask32>((uint64_t{1} << given) - 1);
    _mm512_mask_storeu_epi16(begin, first, _mm512_maskz_compress_epi16(gives, far));
    const __m512i zero = _mm512_setzero_si512();
    far = _mm512_mask_mov_epi16(far, gives, middle);
    middle = _mm512_mask_mov_epi16(middle, gives, near);
    near = _mm512_mask_mov_epi16(near, gives, zero);
    near = _mm512_or_si512(near, _mm512_sllv_epi16(code_words, positions));
    // The bits that the shift above drops.
    middle = _mm512_or_si512(middle, _mm512_shldv_epi16(zero, code_words, positions));
    return begin;
  }
};

struct EncodeRegisters {
  ByteTable word_low;
  ByteTable word_high;
  ByteTable length;

  explicit EncodeRegisters(const LaneEncodeTable& table)
      : word_low(table.word_low), word_high(table.word_high), length(table.length) {}
};

struct EncodedGroup {
  EncodedHalf even;
  EncodedHalf odd;
  uint8_t* begin;

  explicit EncodedGroup(const LaneWriter& writer)
      : even(writer.state, 0), odd(writer.state, kGroupLanes / 2), begin(writer.begin) {}

  void store(LaneWriter* writer) const {
    even.store(&writer->state, 0);
    odd.store(&writer->state, kGroupLanes / 2);
    writer->begin = begin;
  }

  void encode_block(const EncodeRegisters& tables, const uint8_t* block) {
    const __m512i low_bytes = _mm512_set1_epi16(0xff);
    constexpr int kChoose = 0xca;
    const __m512i symbols = _mm512_loadu_si512(block);
    const __m512i lows = tables.word_low.at(symbols);
    const __m512i highs = tables.word_high.at(symbols);
    const __m512i lengths = tables.length.at(symbols);
    const __m512i even_words =
        _mm512_ternarylogic_epi64(low_bytes, lows, _mm512_slli_epi16(highs, 8), kChoose);
    const __m512i odd_words =
        _mm512_ternarylogic_epi64(low_bytes, _mm512_srli_epi16(lows, 8), highs, kChoose);
    begin = odd.put(odd_words, _mm512_srli_epi16(lengths, 8), begin);
    begin = even.put(even_words, _mm512_and_si512(lengths, low_bytes), begin);
  }
};

void encode_lanes(const LaneEncodeTable& table, const uint8_t* symbols, size_t blocks,
                  LaneWriter* writers) {
  const EncodeRegisters tables(table);
  EncodedGroup first(writers[0]);
  EncodedGroup second(writers[1]);
  // Loads 64 bytes a group from within the blocks, and stores at most 32 words twice.
  for (size_t block = blocks; block-- > 0;) {
    first.encode_block(tables, symbols + block * kLaneBlock);
    second.encode_block(tables, symbols + block * kLaneBlock + kGroupLanes);
  }
  first.store(&writers[0]);
  second.store(&writers[1]);
}
