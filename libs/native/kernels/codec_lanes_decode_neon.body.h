// Decoding blocks of lanes with NEON: what codec_lanes_decode.body.h does, 8 lanes a register.
// Included by codec_kernels.body.h.

// 8 lanes, in the order of their words.
struct LaneVector {
  // Each lane's next words.
  uint16x8_t nearest;
  uint16x8_t second;
  uint16x8_t third;
  // 0 to 15.
  uint16x8_t positions;
};

constexpr size_t kQuarters = 4;
constexpr size_t kQuarterLanes = kGroupLanes / kQuarters / 2;

// The lanes of the even bytes and of the odd ones, 16 symbols after 16.
struct GroupLanes {
  LaneVector even[kQuarters];
  LaneVector odd[kQuarters];
};

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

inline LaneVector load_lane_vector(const LaneState& state, size_t first) {
  return {vld1q_u16(state.words[0] + first), vld1q_u16(state.words[1] + first),
          vld1q_u16(state.words[2] + first), vld1q_u16(state.positions + first)};
}

inline void store_lane_vector(const LaneVector& lanes, LaneState* state, size_t first) {
  vst1q_u16(state->words[0] + first, lanes.nearest);
  vst1q_u16(state->words[1] + first, lanes.second);
  vst1q_u16(state->words[2] + first, lanes.third);
  vst1q_u16(state->positions + first, lanes.positions);
}

inline void load_group(const LaneState& state, GroupLanes* lanes) {
  for (size_t quarter = 0; quarter < kQuarters; ++quarter) {
    const size_t first = quarter * kQuarterLanes;
    lanes->even[quarter] = load_lane_vector(state, first);
    lanes->odd[quarter] = load_lane_vector(state, first + kGroupLanes / 2);
  }
}

inline void store_group(const GroupLanes& lanes, LaneState* state) {
  for (size_t quarter = 0; quarter < kQuarters; ++quarter) {
    const size_t first = quarter * kQuarterLanes;
    store_lane_vector(lanes.even[quarter], state, first);
    store_lane_vector(lanes.odd[quarter], state, first + kGroupLanes / 2);
  }
}

// The next 16 bits of each lane. Shifts are to the left, by negative counts to the right, and give
// zero where they move everything out.
inline uint16x8_t window_of(const LaneVector& lanes) {
  const int16x8_t down = vnegq_s16(vreinterpretq_s16_u16(lanes.positions));
  const int16x8_t up = vaddq_s16(down, vdupq_n_s16(16));
  return vorrq_u16(vshlq_u16(lanes.nearest, down), vshlq_u16(lanes.second, up));
}

// Moves lanes on. All bits of an element of the result are set for lanes that have used up their
// nearest word.
inline uint16x8_t move_positions(uint16x8_t lengths, LaneVector* lanes) {
  const uint16x8_t moved = vaddq_u16(lanes->positions, lengths);
  lanes->positions = vandq_u16(moved, vdupq_n_u16(15));
  return vtstq_u16(moved, vdupq_n_u16(16));
}

struct Spent {
  uint16x8_t even[kQuarters];
  uint16x8_t odd[kQuarters];
};

// The ranks of 16 symbols in their order.
inline uint8x16_t decode_ranks(const LaneTableRegisters& table, size_t quarter, GroupLanes* lanes,
                               Spent* spent) {
  const uint16x8_t even = window_of(lanes->even[quarter]);
  const uint16x8_t odd = window_of(lanes->odd[quarter]);
  const uint8x16_t prefixes = vandq_u8(vreinterpretq_u8_u16(vsliq_n_u16(even, odd, 8)),
                                       vdupq_n_u8(kPrefixes - 1));
  const uint8x16_t payloads = vreinterpretq_u8_u16(vsriq_n_u16(
      vshlq_n_u16(odd, 8 - kPrefixBits), vshlq_n_u16(even, 8 - kPrefixBits), 8));
  const uint8x16_t lengths = vqtbl4q_u8(table.length, prefixes);
  const uint8x16_t masks = vqtbl1q_u8(table.mask, lengths);
  const uint16x8_t pairs = vreinterpretq_u16_u8(lengths);
  spent->even[quarter] =
      move_positions(vandq_u16(pairs, vdupq_n_u16(0xff)), &lanes->even[quarter]);
  spent->odd[quarter] = move_positions(vshrq_n_u16(pairs, 8), &lanes->odd[quarter]);
  return vaddq_u8(vqtbl4q_u8(table.base, prefixes), vandq_u8(payloads, masks));
}

// Rank 2k is centre + k, rank 2k - 1 is centre - k.
inline uint8x16_t zigzag_symbols(uint8x16_t ranks, uint8x16_t centre) {
  const uint8x16_t odd = vtstq_u8(ranks, vdupq_n_u8(1));
  return vaddq_u8(centre, veorq_u8(vshrq_n_u8(ranks, 1), odd));
}

// Symbols by a table of 256. Each lookup leaves alone what is outside of its 64 entries.
inline void list_symbols(const uint8_t* table, uint8x16_t* ranks) {
  uint8x16_t symbols[kQuarters] = {};
  for (size_t first = 0; first < 256; first += 64) {
    const uint8x16x4_t entries = vld1q_u8_x4(table + first);
    for (size_t quarter = 0; quarter < kQuarters; ++quarter) {
      symbols[quarter] = vqtbx4q_u8(symbols[quarter], entries, ranks[quarter]);
      ranks[quarter] = vsubq_u8(ranks[quarter], vdupq_n_u8(64));
    }
  }
  for (size_t quarter = 0; quarter < kQuarters; ++quarter) ranks[quarter] = symbols[quarter];
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

// One byte a vector, the even quarters first: a bit for each lane that is spent.
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

inline void take_words(uint16x8_t spent, const uint8_t* words, size_t bits, LaneVector* lanes) {
  const uint16x8_t fresh =
      vreinterpretq_u16_u8(vqtbl1q_u8(vld1q_u8(words), vld1q_u8(kWordSpreads.shuffles[bits])));
  lanes->nearest = vbslq_u16(spent, lanes->second, lanes->nearest);
  lanes->second = vbslq_u16(spent, lanes->third, lanes->second);
  lanes->third = vbslq_u16(spent, fresh, lanes->third);
}

// Gives one more word to each lane whose nearest one is spent, in the order of lanes. Vector k loads
// 16 bytes behind the words of the vectors before it, at most 8k: nothing past kGroupLanes words is
// read. Returns the word after the last one taken.
inline const uint8_t* refill(const Spent& spent, GroupLanes* lanes, const uint8_t* next) {
  const uint8x8_t bits = spent_bits(spent);
  const uint64_t masks = vget_lane_u64(vreinterpret_u64_u8(bits), 0);
  const uint64_t bytes = vget_lane_u64(vreinterpret_u64_u8(vshl_n_u8(vcnt_u8(bits), 1)), 0);
  // Byte k is how many bytes vectors 0 to k take, at most 128.
  const uint64_t ends = bytes * 0x0101'0101'0101'0101;
  const uint64_t begins = ends << 8;
#pragma GCC unroll 4
  for (size_t quarter = 0; quarter < kQuarters; ++quarter) {
    const size_t shift = 8 * quarter;
    take_words(spent.even[quarter], next + (begins >> shift & 0xff), masks >> shift & 0xff,
               &lanes->even[quarter]);
  }
#pragma GCC unroll 4
  for (size_t quarter = 0; quarter < kQuarters; ++quarter) {
    const size_t shift = 8 * (kQuarters + quarter);
    take_words(spent.odd[quarter], next + (begins >> shift & 0xff), masks >> shift & 0xff,
               &lanes->odd[quarter]);
  }
  return next + (ends >> 56);
}

// Decodes one symbol of each lane, as the portable decode_lane_group does.
template <bool kListed>
inline const uint8_t* decode_lane_group(const LaneTableRegisters& table, GroupLanes* lanes,
                                        const uint8_t* next, uint8_t* output) {
  Spent spent;
  uint8x16_t ranks[kQuarters];
#pragma GCC unroll 4
  for (size_t quarter = 0; quarter < kQuarters; ++quarter) {
    ranks[quarter] = decode_ranks(table, quarter, lanes, &spent);
    if (!kListed) ranks[quarter] = zigzag_symbols(ranks[quarter], table.centre);
  }
  if (kListed) list_symbols(table.symbols, ranks);
  for (size_t quarter = 0; quarter < kQuarters; ++quarter) {
    vst1q_u8(output + quarter * 2 * kQuarterLanes, ranks[quarter]);
  }
  return refill(spent, lanes, next);
}

// A block reads at most kGroupLanes words of either group, and is begun only if they are there.
template <bool kListed>
size_t decode_lane_blocks(const LaneTableRegisters& table, LaneReader* readers, size_t blocks,
                          uint8_t* output) {
  constexpr ptrdiff_t kMostBytes = kGroupLanes * sizeof(uint16_t);
  static_assert(kLaneGroups == 2);
  GroupLanes lanes[kLaneGroups];
  load_group(readers[0].state, &lanes[0]);
  load_group(readers[1].state, &lanes[1]);
  size_t block = 0;
  for (; block < blocks; ++block) {
    if (readers[0].end - readers[0].next < kMostBytes) break;
    if (readers[1].end - readers[1].next < kMostBytes) break;
    for (size_t group = 0; group < kLaneGroups; ++group) {
      readers[group].next =
          decode_lane_group<kListed>(table, &lanes[group], readers[group].next, output);
      output += kGroupLanes;
    }
  }
  store_group(lanes[0], &readers[0].state);
  store_group(lanes[1], &readers[1].state);
  return block;
}

size_t decode_lanes(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                    uint8_t* output) {
  const LaneTableRegisters registers = lane_table_registers(table);
  return table.listed ? decode_lane_blocks<true>(registers, readers, blocks, output)
                      : decode_lane_blocks<false>(registers, readers, blocks, output);
}
