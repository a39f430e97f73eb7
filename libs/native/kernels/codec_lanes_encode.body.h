// Encoding blocks of lanes; libs/codec/LANES.md has the layout. Included by codec_kernels.body.h.

// Undoes the decoding of one symbol of each lane: lanes in the opposite order, and where the
// decoder read a word, it is put before `begin`. Returns the new begin, at most kGroupLanes words
// before the old one.
inline uint8_t* encode_lane_group(const LaneEncodeTable& table, const uint8_t* symbols,
                                  LaneState* state, uint8_t* begin) {
  constexpr size_t kHalf = kGroupLanes / 2;
  for (size_t lane = kGroupLanes; lane-- > 0;) {
    const uint8_t symbol = symbols[lane % kHalf * 2 + lane / kHalf];
    const uint32_t word = table.word_low[symbol] | table.word_high[symbol] << 8;
    uint32_t position = state->positions[lane];
    if (position < table.length[symbol]) {
      begin -= sizeof(uint16_t);
      __builtin_memcpy(begin, &state->words[2][lane], sizeof(uint16_t));
      state->words[2][lane] = state->words[1][lane];
      state->words[1][lane] = state->words[0][lane];
      state->words[0][lane] = 0;
      position += 16;
    }
    position -= table.length[symbol];
    state->positions[lane] = static_cast<uint16_t>(position);
    const uint32_t shifted = word << position;
    state->words[0][lane] = static_cast<uint16_t>(state->words[0][lane] | shifted);
    state->words[1][lane] = static_cast<uint16_t>(state->words[1][lane] | shifted >> 16);
  }
  return begin;
}

void encode_lanes(const LaneEncodeTable& table, const uint8_t* symbols, size_t blocks,
                  LaneWriter* writers) {
  for (size_t block = blocks; block-- > 0;) {
    for (size_t group = 0; group < kLaneGroups; ++group) {
      LaneWriter& writer = writers[group];
      const uint8_t* of_group = symbols + block * kLaneBlock + group * kGroupLanes;
      writer.begin = encode_lane_group(table, of_group, &writer.state, writer.begin);
    }
  }
}
