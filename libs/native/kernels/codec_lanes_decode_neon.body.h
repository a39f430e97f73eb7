// Decoding blocks of lanes with NEON: what codec_lanes_decode.body.h does, 8 lanes a register.
// Included by codec_kernels.body.h.

// A register holds 8 of the 32 even or odd lanes. The state of 128 lanes takes twice the registers
// there are, so it stays in memory, and each step loads and stores what it uses.
constexpr size_t kVectorLanes = 8;
constexpr size_t kHalfVectors = kGroupLanes / 2 / kVectorLanes;

struct LaneTableRegisters {
  uint8x16x4_t length;
  uint8x16x4_t base;
  // By length: only payloads make a code word longer than its prefix.
  uint8x16_t mask;
  uint8x16_t centre;
  const uint8_t* symbols;
};

inline LaneTableRegisters lane_table_registers(const LaneDecodeTable& table) {
  uint8_t masks[16] = {};
  for (int payload_bits = 1; payload_bits <= kMostPayloadBits; ++payload_bits) {
    masks[kPrefixBits + payload_bits] = static_cast<uint8_t>((1 << payload_bits) - 1);
  }
  return {vld1q_u8_x4(table.length), vld1q_u8_x4(table.base), vld1q_u8(masks),
          vdupq_n_u8(table.centre), table.symbols};
}

// The next 16 bits of 8 lanes. Shifts are to the left, by negative counts to the right, and give
// zero where they move everything out.
inline uint16x8_t window_of(const LaneState& state, size_t first, uint16x8_t positions) {
  const int16x8_t down = vnegq_s16(vreinterpretq_s16_u16(positions));
  const int16x8_t up = vaddq_s16(down, vdupq_n_s16(16));
  return vorrq_u16(vshlq_u16(vld1q_u16(state.words[0] + first), down),
                   vshlq_u16(vld1q_u16(state.words[1] + first), up));
}

// Moves 8 lanes on. All bits of an element of the result are set for lanes that have used up their
// nearest word.
inline uint16x8_t move_positions(LaneState* state, size_t first, uint16x8_t moved) {
  vst1q_u16(state->positions + first, vandq_u16(moved, vdupq_n_u16(15)));
  return vtstq_u16(moved, vdupq_n_u16(16));
}

struct Spent {
  uint16x8_t even[kHalfVectors];
  uint16x8_t odd[kHalfVectors];
};

// The ranks of 16 symbols in their order.
inline uint8x16_t decode_ranks(const LaneTableRegisters& table, size_t vector, LaneState* state,
                               Spent* spent) {
  const size_t first_even = vector * kVectorLanes;
  const size_t first_odd = first_even + kGroupLanes / 2;
  const uint16x8_t even_positions = vld1q_u16(state->positions + first_even);
  const uint16x8_t odd_positions = vld1q_u16(state->positions + first_odd);
  const uint16x8_t even = window_of(*state, first_even, even_positions);
  const uint16x8_t odd = window_of(*state, first_odd, odd_positions);
  const uint8x16_t prefixes = vandq_u8(vreinterpretq_u8_u16(vsliq_n_u16(even, odd, 8)),
                                       vdupq_n_u8(kPrefixes - 1));
  const uint8x16_t payloads = vreinterpretq_u8_u16(vsriq_n_u16(
      vshlq_n_u16(odd, 8 - kPrefixBits), vshlq_n_u16(even, 8 - kPrefixBits), 8));
  const uint8x16_t lengths = vqtbl4q_u8(table.length, prefixes);
  const uint8x16_t masks = vqtbl1q_u8(table.mask, lengths);
  const uint16x8_t pairs = vreinterpretq_u16_u8(lengths);
  spent->even[vector] = move_positions(
      state, first_even, vaddq_u16(even_positions, vandq_u16(pairs, vdupq_n_u16(0xff))));
  spent->odd[vector] =
      move_positions(state, first_odd, vsraq_n_u16(odd_positions, pairs, 8));
  return vaddq_u8(vqtbl4q_u8(table.base, prefixes), vandq_u8(payloads, masks));
}

// Rank 2k is centre + k, rank 2k - 1 is centre - k.
inline uint8x16_t zigzag_symbols(uint8x16_t ranks, uint8x16_t centre) {
  const uint8x16_t odd = vtstq_u8(ranks, vdupq_n_u8(1));
  return vaddq_u8(centre, veorq_u8(vshrq_n_u8(ranks, 1), odd));
}

// Symbols by a table of 256. Each lookup leaves alone what is outside of its 64 entries.
inline void list_symbols(const uint8_t* table, uint8x16_t* ranks) {
  uint8x16_t symbols[kHalfVectors] = {};
  for (size_t first = 0; first < 256; first += 64) {
    const uint8x16x4_t entries = vld1q_u8_x4(table + first);
    for (size_t vector = 0; vector < kHalfVectors; ++vector) {
      symbols[vector] = vqtbx4q_u8(symbols[vector], entries, ranks[vector]);
      ranks[vector] = vsubq_u8(ranks[vector], vdupq_n_u8(64));
    }
  }
  for (size_t vector = 0; vector < kHalfVectors; ++vector) ranks[vector] = symbols[vector];
}

// Shuffles that give the k-th word of 16 bytes to the element of the k-th bit that is set.
struct WordSpreads {
  constexpr WordSpreads() : shuffles{} {
    for (size_t mask = 0; mask < 256; ++mask) {
      uint8_t byte = 0;
      for (size_t element = 0; element < 8; ++element) {
        if ((mask >> element & 1) == 0) continue;
        shuffles[mask][2 * element] = byte++;
        shuffles[mask][2 * element + 1] = byte++;
      }
    }
  }
  alignas(64) uint8_t shuffles[256][16];
};
constexpr WordSpreads kWordSpreads;

// One byte a vector, the even lanes first: a bit for each lane that is spent.
inline uint8x8_t spent_bits(const Spent& spent) {
  const uint8x16_t weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const auto weighted = [&](uint16x8_t low, uint16x8_t high) {
    return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)), weights);
  };
  const uint8x16_t even = vpaddq_u8(weighted(spent.even[0], spent.even[1]),
                                    weighted(spent.even[2], spent.even[3]));
  const uint8x16_t odd = vpaddq_u8(weighted(spent.odd[0], spent.odd[1]),
                                   weighted(spent.odd[2], spent.odd[3]));
  const uint8x16_t sums = vpaddq_u8(even, odd);
  return vget_low_u8(vpaddq_u8(sums, sums));
}

inline void take_words(LaneState* state, size_t first, uint16x8_t spent, const uint8_t* words,
                       size_t bits) {
  const uint16x8_t fresh =
      vreinterpretq_u16_u8(vqtbl1q_u8(vld1q_u8(words), vld1q_u8(kWordSpreads.shuffles[bits])));
  const uint16x8_t second = vld1q_u16(state->words[1] + first);
  const uint16x8_t third = vld1q_u16(state->words[2] + first);
  vst1q_u16(state->words[0] + first,
            vbslq_u16(spent, second, vld1q_u16(state->words[0] + first)));
  vst1q_u16(state->words[1] + first, vbslq_u16(spent, third, second));
  vst1q_u16(state->words[2] + first, vbslq_u16(spent, fresh, third));
}

// Gives one more word to each lane whose nearest one is spent, in the order of lanes. Vector k
// loads 16 bytes behind the words of the vectors before it, at most 8k: nothing past kGroupLanes
// words is read. Returns the word after the last one taken.
inline const uint8_t* refill(const Spent& spent, LaneState* state, const uint8_t* next) {
  const uint8x8_t bits = spent_bits(spent);
  const uint64_t masks = vget_lane_u64(vreinterpret_u64_u8(bits), 0);
  const uint64_t bytes = vget_lane_u64(vreinterpret_u64_u8(vshl_n_u8(vcnt_u8(bits), 1)), 0);
  // Byte k is how many bytes vectors 0 to k take, at most 128.
  const uint64_t ends = bytes * 0x0101'0101'0101'0101;
  const uint64_t begins = ends << 8;
#pragma GCC unroll 8
  for (size_t vector = 0; vector < 2 * kHalfVectors; ++vector) {
    const uint16x8_t of_vector =
        vector < kHalfVectors ? spent.even[vector] : spent.odd[vector - kHalfVectors];
    take_words(state, vector * kVectorLanes, of_vector, next + (begins >> 8 * vector & 0xff),
               masks >> 8 * vector & 0xff);
  }
  return next + (ends >> 56);
}

// Decodes one symbol of each lane, as the portable decode_lane_group does.
template <bool kListed>
inline const uint8_t* decode_lane_group(const LaneTableRegisters& table, LaneState* state,
                                        const uint8_t* next, uint8_t* output) {
  Spent spent;
  uint8x16_t ranks[kHalfVectors];
#pragma GCC unroll 4
  for (size_t vector = 0; vector < kHalfVectors; ++vector) {
    ranks[vector] = decode_ranks(table, vector, state, &spent);
    if (!kListed) ranks[vector] = zigzag_symbols(ranks[vector], table.centre);
  }
  if (kListed) list_symbols(table.symbols, ranks);
  for (size_t vector = 0; vector < kHalfVectors; ++vector) {
    vst1q_u8(output + vector * 2 * kVectorLanes, ranks[vector]);
  }
  return refill(spent, state, next);
}

// A block reads at most kGroupLanes words of either group, and is begun only if they are there.
template <bool kListed>
size_t decode_lane_blocks(const LaneTableRegisters& table, LaneReader* readers, size_t blocks,
                          uint8_t* output) {
  constexpr ptrdiff_t kMostBytes = kGroupLanes * sizeof(uint16_t);
  static_assert(kLaneGroups == 2);
  for (size_t block = 0; block < blocks; ++block) {
    if (readers[0].end - readers[0].next < kMostBytes) return block;
    if (readers[1].end - readers[1].next < kMostBytes) return block;
    for (size_t group = 0; group < kLaneGroups; ++group) {
      LaneReader& reader = readers[group];
      reader.next = decode_lane_group<kListed>(table, &reader.state, reader.next, output);
      output += kGroupLanes;
    }
  }
  return blocks;
}

size_t decode_lanes(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                    uint8_t* output) {
  const LaneTableRegisters registers = lane_table_registers(table);
  return table.listed ? decode_lane_blocks<true>(registers, readers, blocks, output)
                      : decode_lane_blocks<false>(registers, readers, blocks, output);
}
