// Encoding blocks of lanes with AVX2: what codec_lanes_encode.body.h does, 16 lanes a register.
// Included by codec_kernels.body.h after codec_lanes_decode_avx2.body.h.

// By symbol: its code word, and the word's length in byte 2 and again in byte 3.
struct CodeWords {
  uint32_t entries[256];

  explicit CodeWords(const LaneEncodeTable& table) {
    for (size_t symbol = 0; symbol < 256; ++symbol) {
      const uint32_t word_high = table.word_high[symbol];
      const uint32_t length = table.length[symbol];
      entries[symbol] = table.word_low[symbol] | word_high << 8 | length << 16 | length << 24;
    }
  }
};

// The entries of the even or odd bytes of 32 symbols, taken apart.
struct WordVector {
  __m256i words;
  // In both bytes of each element.
  __m256i lengths;
};

// Of symbols 0, 2, 4... from `symbols` on. Elements 0 to 3 and 8 to 11 are looked up apart from the
// others because that is how packus_epi32 brings them together.
inline WordVector look_up_words(const CodeWords& table, const uint8_t* symbols) {
  alignas(32) uint32_t entries[16];
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) {
    const size_t place = (i & 3) | (i & 4) << 1 | (i & 8) >> 1;
    entries[place] = table.entries[symbols[2 * i]];
  }
  const __m256i first = load_lanes(entries);
  const __m256i second = load_lanes(entries + 8);
  const __m256i low = _mm256_set1_epi32(0xffff);
  return {_mm256_packus_epi32(_mm256_and_si256(first, low), _mm256_and_si256(second, low)),
          _mm256_packus_epi32(_mm256_srli_epi32(first, 16), _mm256_srli_epi32(second, 16))};
}

// Shuffles that move the words whose bits are set to the end of 16 bytes.
struct WordGathers {
  constexpr WordGathers() : shuffles{} {
    for (size_t mask = 0; mask < 256; ++mask) {
      size_t place = 8;
      for (size_t element = 8; element-- > 0;) {
        if ((mask >> element & 1) == 0) continue;
        --place;
        shuffles[mask][2 * place] = static_cast<uint8_t>(2 * element);
        shuffles[mask][2 * place + 1] = static_cast<uint8_t>(2 * element + 1);
      }
    }
  }
  alignas(64) uint8_t shuffles[256][16];
};
constexpr WordGathers kWordGathers;

// 16 lanes; the opposite of LaneVector.
struct EncodedVector {
  __m256i nearest;
  __m256i second;
  __m256i third;
  // The position in the low byte and the position - 8 in the high byte, which is how shuffle_epi8
  // makes the two bytes of 2^position from one table.
  __m256i positions;

  EncodedVector(const LaneState& state, size_t first)
      : nearest(load_lanes(state.words[0] + first)),
        second(load_lanes(state.words[1] + first)),
        third(load_lanes(state.words[2] + first)),
        positions(load_lanes(state.positions + first)) {
    const __m256i both = _mm256_or_si256(positions, _mm256_slli_epi16(positions, 8));
    positions = _mm256_sub_epi8(both, _mm256_set1_epi16(0x0800));
  }

  void store(LaneState* state, size_t first) const {
    store_lanes(state->words[0] + first, nearest);
    store_lanes(state->words[1] + first, second);
    store_lanes(state->words[2] + first, third);
    store_lanes(state->positions + first, _mm256_and_si256(positions, _mm256_set1_epi16(0xff)));
  }

  // Puts a code word before each lane's bits, and the words that lanes have no more room for before
  // `begin`; returns the new begin. Whatever it gives, it writes the 16 bytes before `begin`, and
  // the 16 before where the upper 8 lanes' words begin.
  uint8_t* put(const WordVector& code, uint8_t* begin) {
    const __m256i moved = _mm256_sub_epi8(positions, code.lengths);
    // The high byte is below -8.
    const __m256i gives =
        _mm256_cmpgt_epi16(_mm256_set1_epi16(static_cast<int16_t>(0xf800)), moved);
    positions = _mm256_add_epi8(moved, _mm256_and_si256(gives, _mm256_set1_epi8(16)));
    begin = give(gives, begin);
    third = _mm256_blendv_epi8(third, second, gives);
    second = _mm256_blendv_epi8(second, nearest, gives);
    nearest = _mm256_andnot_si256(gives, nearest);
    const __m256i powers = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i scale = _mm256_shuffle_epi8(powers, positions);
    nearest = _mm256_or_si256(nearest, _mm256_mullo_epi16(code.words, scale));
    second = _mm256_or_si256(second, _mm256_mulhi_epu16(code.words, scale));
    return begin;
  }

 private:
  uint8_t* give(__m256i gives, uint8_t* begin) const {
    const uint32_t bits = static_cast<uint32_t>(
        _mm256_movemask_epi8(_mm256_packs_epi16(gives, gives)));
    const uint64_t low = bits & 0xff;
    const uint64_t high = bits >> 16 & 0xff;
    const __m256i given = _mm256_shuffle_epi8(
        third, pair(kWordGathers.shuffles[low], kWordGathers.shuffles[high]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(begin - 16), _mm256_extracti128_si256(given, 1));
    begin -= 2 * _mm_popcnt_u64(high);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(begin - 16), _mm256_castsi256_si128(given));
    return begin - 2 * _mm_popcnt_u64(low);
  }
};

struct EncodedGroup {
  EncodedVector even_low;
  EncodedVector even_high;
  EncodedVector odd_low;
  EncodedVector odd_high;
  uint8_t* begin;

  explicit EncodedGroup(const LaneWriter& writer)
      : even_low(writer.state, 0),
        even_high(writer.state, 16),
        odd_low(writer.state, 32),
        odd_high(writer.state, 48),
        begin(writer.begin) {}

  void store(LaneWriter* writer) const {
    even_low.store(&writer->state, 0);
    even_high.store(&writer->state, 16);
    odd_low.store(&writer->state, 32);
    odd_high.store(&writer->state, 48);
    writer->begin = begin;
  }

  void encode_block(const CodeWords& table, const uint8_t* block) {
    begin = odd_high.put(look_up_words(table, block + kGroupLanes / 2 + 1), begin);
    begin = odd_low.put(look_up_words(table, block + 1), begin);
    begin = even_high.put(look_up_words(table, block + kGroupLanes / 2), begin);
    begin = even_low.put(look_up_words(table, block), begin);
  }
};

void encode_lanes(const LaneEncodeTable& table, const uint8_t* symbols, size_t blocks,
                  LaneWriter* writers) {
  const CodeWords words(table);
  EncodedGroup first(writers[0]);
  EncodedGroup second(writers[1]);
  // Each 8 lanes write 16 bytes and move by at most as many, so a block stays within the
  // kGroupLanes words that a group has room for.
  for (size_t block = blocks; block-- > 0;) {
    first.encode_block(words, symbols + block * kLaneBlock);
    second.encode_block(words, symbols + block * kLaneBlock + kGroupLanes);
  }
  first.store(&writers[0]);
  second.store(&writers[1]);
}
