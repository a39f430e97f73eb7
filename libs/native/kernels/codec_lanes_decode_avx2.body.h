// Decoding blocks of lanes with AVX2; libs/codec/LANES.md has the layout. Included by
// codec_kernels.body.h.
//
// AVX2 cannot shift 16-bit elements by different counts, so multiplications do it. With
// scale = 2^(15 - position), the high half of first word * scale and the low half of
// second word * scale together are a lane's next bits without the first one of them; that one is
// the top bit of the low half of first word * scale. Tables of 64 entries take four registers of
// 16 entries each: two for either value of the first bit, which chooses by being a byte's sign.

// 16 lanes.
struct LaneVector {
  // Each lane's next words.
  __m256i nearest;
  __m256i second;
  __m256i third;
  // Its position - 8 in the low byte and its position in the high byte, which is how shuffle_epi8
  // makes the two bytes of 2^(15 - position) from one table.
  __m256i positions;
};

// The lanes of 32 symbols, those of the even bytes and those of the odd ones.
struct HalfLanes {
  LaneVector even;
  LaneVector odd;
};

// Members one by one and not arrays: compilers keep those in memory that loops index.
struct GroupLanes {
  HalfLanes low;
  HalfLanes high;
};

// One vector for each half of a group, in bytes in the order of the symbols.
struct Halves {
  __m256i low;
  __m256i high;
};

// Entry `prefix` of a table of kPrefixes: by its bits 1 to 4 in `low` where bit 5 is clear, and in
// `low` exclusive-or `change` where it is set; [1] where bit 0 is set.
struct PrefixRegisters {
  __m256i low[2];
  __m256i change[2];
};

struct LaneTableRegisters {
  PrefixRegisters length;
  PrefixRegisters base;
  // By length: only payloads make a code word longer than its prefix.
  __m256i mask;
  __m256i centre;
  // See listed_symbols.
  __m128i symbol_changes[16];
};

// What a half's lanes do next, in bytes in the order of the symbols.
struct HalfWindow {
  // Bit 0 of the prefix, as the sign.
  __m256i first_bit;
  // Bits 1 to 5 of the prefix.
  __m256i prefix_rest;
  // The eight bits after the prefix.
  __m256i payload;
};

inline __m256i load_lanes(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

inline void store_lanes(void* to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}

inline __m256i twice(const uint8_t* from) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

// 16 bytes each.
inline __m256i pair(const void* low, const void* high) {
  const __m128i first = _mm_loadu_si128(static_cast<const __m128i*>(low));
  const __m128i second = _mm_loadu_si128(static_cast<const __m128i*>(high));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
}

inline PrefixRegisters prefix_registers(const uint8_t* entries) {
  PrefixRegisters registers;
  for (size_t first_bit = 0; first_bit < 2; ++first_bit) {
    uint8_t low[16];
    uint8_t change[16];
    for (size_t i = 0; i < 16; ++i) {
      low[i] = entries[2 * i + first_bit];
      change[i] = low[i] ^ entries[kPrefixes / 2 + 2 * i + first_bit];
    }
    registers.low[first_bit] = twice(low);
    registers.change[first_bit] = twice(change);
  }
  return registers;
}

inline LaneTableRegisters lane_table_registers(const LaneDecodeTable& table) {
  uint8_t masks[16] = {};
  for (int payload_bits = 1; payload_bits <= kMostPayloadBits; ++payload_bits) {
    masks[kPrefixBits + payload_bits] = static_cast<uint8_t>((1 << payload_bits) - 1);
  }
  LaneTableRegisters registers = {prefix_registers(table.length), prefix_registers(table.base),
                                  twice(masks), _mm256_set1_epi8(static_cast<char>(table.centre)),
                                  {}};
  for (size_t k = 0; k < 16; ++k) {
    const __m128i* const entries = reinterpret_cast<const __m128i*>(table.symbols) + k;
    const __m128i before = k % 8 == 0 ? _mm_setzero_si128() : _mm_loadu_si128(entries - 1);
    registers.symbol_changes[k] = _mm_xor_si128(_mm_loadu_si128(entries), before);
  }
  return registers;
}

inline LaneVector load_lane_vector(const LaneState& state, size_t first) {
  const __m256i position = load_lanes(state.positions + first);
  const __m256i twice = _mm256_or_si256(position, _mm256_slli_epi16(position, 8));
  return {load_lanes(state.words[0] + first), load_lanes(state.words[1] + first),
          load_lanes(state.words[2] + first), _mm256_sub_epi8(twice, _mm256_set1_epi16(8))};
}

inline GroupLanes load_group(const LaneState& state) {
  return {{load_lane_vector(state, 0), load_lane_vector(state, 32)},
          {load_lane_vector(state, 16), load_lane_vector(state, 48)}};
}

inline void store_lane_vector(const LaneVector& lanes, LaneState* state, size_t first) {
  store_lanes(state->words[0] + first, lanes.nearest);
  store_lanes(state->words[1] + first, lanes.second);
  store_lanes(state->words[2] + first, lanes.third);
  store_lanes(state->positions + first, _mm256_srli_epi16(lanes.positions, 8));
}

inline void store_group(const GroupLanes& lanes, LaneState* state) {
  store_lane_vector(lanes.low.even, state, 0);
  store_lane_vector(lanes.high.even, state, 16);
  store_lane_vector(lanes.low.odd, state, 32);
  store_lane_vector(lanes.high.odd, state, 48);
}

// The next 16 bits after the first one of each lane, and in `first_bit` that one on top.
inline __m256i window_after_first(const LaneVector& lanes, __m256i* first_bit) {
  const __m256i powers = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(-128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0));
  const __m256i scale = _mm256_shuffle_epi8(powers, lanes.positions);
  *first_bit = _mm256_mullo_epi16(lanes.nearest, scale);
  return _mm256_or_si256(_mm256_mulhi_epu16(lanes.nearest, scale),
                         _mm256_mullo_epi16(lanes.second, scale));
}

inline HalfWindow half_window(const HalfLanes& lanes) {
  const __m256i odd_bytes = _mm256_set1_epi16(static_cast<int16_t>(0xff00));
  __m256i even_first;
  __m256i odd_first;
  const __m256i even = window_after_first(lanes.even, &even_first);
  const __m256i odd = window_after_first(lanes.odd, &odd_first);
  const __m256i nearest = _mm256_blendv_epi8(even, _mm256_slli_epi16(odd, 8), odd_bytes);
  return {_mm256_blendv_epi8(_mm256_srli_epi16(even_first, 8), odd_first, odd_bytes),
          _mm256_and_si256(nearest, _mm256_set1_epi8(kPrefixes / 2 - 1)),
          _mm256_blendv_epi8(_mm256_srli_epi16(even, kPrefixBits - 1),
                             _mm256_slli_epi16(odd, 8 - (kPrefixBits - 1)), odd_bytes)};
}

inline __m256i look_up(const PrefixRegisters& table, const HalfWindow& window) {
  // Below 16 this is negative, for which shuffle_epi8 gives 0.
  const __m256i above = _mm256_sub_epi8(window.prefix_rest, _mm256_set1_epi8(16));
  const __m256i if_clear = _mm256_xor_si256(_mm256_shuffle_epi8(table.low[0], window.prefix_rest),
                                            _mm256_shuffle_epi8(table.change[0], above));
  const __m256i if_set = _mm256_xor_si256(_mm256_shuffle_epi8(table.low[1], window.prefix_rest),
                                          _mm256_shuffle_epi8(table.change[1], above));
  return _mm256_blendv_epi8(if_clear, if_set, window.first_bit);
}

inline __m256i ranks_of(const LaneTableRegisters& table, const HalfWindow& window,
                        __m256i lengths) {
  const __m256i payload = _mm256_and_si256(window.payload,
                                           _mm256_shuffle_epi8(table.mask, lengths));
  return _mm256_add_epi8(look_up(table.base, window), payload);
}

// Rank 2k is centre + k, rank 2k - 1 is centre - k.
inline __m256i zigzag_symbols(__m256i ranks, __m256i centre) {
  const __m256i distance = _mm256_avg_epu8(ranks, _mm256_setzero_si256());
  const __m256i sign = _mm256_or_si256(_mm256_slli_epi16(ranks, 7), _mm256_set1_epi8(1));
  return _mm256_add_epi8(centre, _mm256_sign_epi8(distance, sign));
}

// Symbols of ranks by a table of 256, of which change k holds entries 16k to 16k + 15, exclusive-or
// those before them unless k is 0 or 8. Subtractions saturate: ranks from 128 on are negative and
// find nothing in the first eight, the others nothing in the last eight.
inline Halves listed_symbols(const __m128i* changes, const Halves& ranks) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i top = _mm256_set1_epi8(-128);
  const __m256i step = _mm256_set1_epi8(16);
  Halves symbols = {zero, zero};
  for (size_t upper = 0; upper < 2; ++upper) {
    // Where code words are short, most ranks are low.
    if (upper && _mm256_testz_si256(_mm256_or_si256(ranks.low, ranks.high), top)) break;
    const __m256i offset = upper ? top : zero;
    Halves left = {_mm256_xor_si256(ranks.low, offset), _mm256_xor_si256(ranks.high, offset)};
    for (size_t k = 0; k < 8; ++k) {
      const __m256i change = _mm256_broadcastsi128_si256(changes[upper * 8 + k]);
      symbols.low = _mm256_xor_si256(symbols.low, _mm256_shuffle_epi8(change, left.low));
      symbols.high = _mm256_xor_si256(symbols.high, _mm256_shuffle_epi8(change, left.high));
      left = {_mm256_subs_epi8(left.low, step), _mm256_subs_epi8(left.high, step)};
    }
  }
  return symbols;
}

// Moves lanes by `lengths`, which are in both bytes of each element. All bits of an element of the
// result are set for lanes that have used up their nearest word.
inline __m256i move_positions(__m256i lengths, LaneVector* lanes) {
  const __m256i moved = _mm256_add_epi8(lanes->positions, lengths);
  const __m256i spent = _mm256_cmpgt_epi16(moved, _mm256_set1_epi16(0x0fff));
  lanes->positions = _mm256_sub_epi8(moved, _mm256_and_si256(spent, _mm256_set1_epi8(16)));
  return spent;
}

inline __m256i move_even(__m256i lengths, LaneVector* lanes) {
  const __m256i even_bytes = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14));
  return move_positions(_mm256_shuffle_epi8(lengths, even_bytes), lanes);
}

inline __m256i move_odd(__m256i lengths, LaneVector* lanes) {
  const __m256i odd_bytes = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15));
  return move_positions(_mm256_shuffle_epi8(lengths, odd_bytes), lanes);
}

// Shuffles that give the k-th word of 16 bytes to the element of the k-th bit that is set.
struct WordSpreads {
  constexpr WordSpreads() : shuffles{} {
    for (int mask = 0; mask < 256; ++mask) {
      uint8_t word = 0;
      for (int element = 0; element < 8; ++element) {
        const bool set = (mask >> element & 1) != 0;
        shuffles[mask][2 * element] = set ? 2 * word : 0x80;
        shuffles[mask][2 * element + 1] = set ? 2 * word + 1 : 0x80;
        if (set) ++word;
      }
    }
  }
  alignas(64) uint8_t shuffles[256][16];
};
constexpr WordSpreads kWordSpreads;

// The words after `*next`, which it moves, for those of 16 lanes whose bits are set; lanes 0 to 7
// have bits 0 to 7, lanes 8 to 15 bits 16 to 23. Reads 16 bytes behind at most 8 words.
inline __m256i fresh_words(uint32_t lanes_spent, const uint8_t** next) {
  const uint64_t low = lanes_spent & 0xff;
  const uint64_t high = lanes_spent >> 16 & 0xff;
  const uint8_t* const middle = *next + 2 * _mm_popcnt_u64(low);
  const __m256i words = pair(*next, middle);
  *next = middle + 2 * _mm_popcnt_u64(high);
  return _mm256_shuffle_epi8(words,
                             pair(kWordSpreads.shuffles[low], kWordSpreads.shuffles[high]));
}

inline void take_words(__m256i spent, __m256i fresh, LaneVector* lanes) {
  lanes->nearest = _mm256_blendv_epi8(lanes->nearest, lanes->second, spent);
  lanes->second = _mm256_blendv_epi8(lanes->second, lanes->third, spent);
  lanes->third = _mm256_blendv_epi8(lanes->third, fresh, spent);
}

// Bits 0 to 7 and 16 to 23 are for the lanes of `low`, the others for those of `high`.
inline uint32_t spent_bits(__m256i low, __m256i high) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(low, high)));
}

// Gives one more word to each lane whose nearest one is spent, in the order of lanes. The last of
// eight loads of 16 bytes is behind at most 7 * 8 words: nothing past kGroupLanes words is read.
inline const uint8_t* refill(const Halves& even_spent, const Halves& odd_spent, GroupLanes* lanes,
                             const uint8_t* next) {
  const uint32_t even_bits = spent_bits(even_spent.low, even_spent.high);
  const uint32_t odd_bits = spent_bits(odd_spent.low, odd_spent.high);
  const __m256i even_low = fresh_words(even_bits, &next);
  const __m256i even_high = fresh_words(even_bits >> 8, &next);
  const __m256i odd_low = fresh_words(odd_bits, &next);
  const __m256i odd_high = fresh_words(odd_bits >> 8, &next);
  take_words(even_spent.low, even_low, &lanes->low.even);
  take_words(even_spent.high, even_high, &lanes->high.even);
  take_words(odd_spent.low, odd_low, &lanes->low.odd);
  take_words(odd_spent.high, odd_high, &lanes->high.odd);
  return next;
}

// Decodes one symbol of each lane, as the portable decode_lane_group does. Always inline: called,
// it would copy the state of all lanes for the sake of the registers between calls.
template <bool kListed>
[[gnu::always_inline]] inline const uint8_t* decode_lane_group(const LaneTableRegisters& table,
                                                               GroupLanes* lanes,
                                                               const uint8_t* next,
                                                               uint8_t* output) {
  const HalfWindow low = half_window(lanes->low);
  const HalfWindow high = half_window(lanes->high);
  const Halves lengths = {look_up(table.length, low), look_up(table.length, high)};
  const Halves ranks = {ranks_of(table, low, lengths.low), ranks_of(table, high, lengths.high)};
  const Halves symbols = kListed ? listed_symbols(table.symbol_changes, ranks)
                                 : Halves{zigzag_symbols(ranks.low, table.centre),
                                          zigzag_symbols(ranks.high, table.centre)};
  store_lanes(output, symbols.low);
  store_lanes(output + kGroupLanes / 2, symbols.high);
  const Halves even_spent = {move_even(lengths.low, &lanes->low.even),
                             move_even(lengths.high, &lanes->high.even)};
  const Halves odd_spent = {move_odd(lengths.low, &lanes->low.odd),
                            move_odd(lengths.high, &lanes->high.odd)};
  return refill(even_spent, odd_spent, lanes, next);
}

// As far ahead as codec_lanes_decode_avx512.body.h found to serve.
constexpr size_t kPrefetchBytes = 1024;

// A block reads at most kGroupLanes words of either group, and is begun only if they are there.
template <bool kListed>
size_t decode_lane_blocks(const LaneTableRegisters& table, LaneReader* readers, size_t blocks,
                          uint8_t* output) {
  static_assert(kLaneGroups == 2);
  constexpr ptrdiff_t kMostBytes = kGroupLanes * sizeof(uint16_t);
  GroupLanes first = load_group(readers[0].state);
  GroupLanes second = load_group(readers[1].state);
  const uint8_t* first_next = readers[0].next;
  const uint8_t* second_next = readers[1].next;
  size_t block = 0;
  for (; block < blocks; ++block) {
    if (readers[0].end - first_next < kMostBytes) break;
    if (readers[1].end - second_next < kMostBytes) break;
    first_next = decode_lane_group<kListed>(table, &first, first_next, output);
    second_next = decode_lane_group<kListed>(table, &second, second_next, output + kGroupLanes);
    output += kLaneBlock;
    __builtin_prefetch(first_next + kPrefetchBytes);
    __builtin_prefetch(second_next + kPrefetchBytes);
  }
  store_group(first, &readers[0].state);
  store_group(second, &readers[1].state);
  readers[0].next = first_next;
  readers[1].next = second_next;
  return block;
}

size_t decode_lanes(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                    uint8_t* output) {
  const LaneTableRegisters registers = lane_table_registers(table);
  return table.listed ? decode_lane_blocks<true>(registers, readers, blocks, output)
                      : decode_lane_blocks<false>(registers, readers, blocks, output);
}
