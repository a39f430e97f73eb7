// Decoding blocks of lanes; libs/codec/LANES.md has the layout. Included by codec_kernels.body.h.

// Lane and byte: element i of the even half is lane 2i, element i of the odd half lane 2i + 1.
constexpr size_t kHalfLanes = kGroupLanes / 2;

// Decodes one symbol of each lane. Reads one word for each lane that needs one, so kGroupLanes at
// most, from `next`; returns the word after the last one read.
inline const uint8_t* decode_lane_group(const LaneDecodeTable& table, LaneState* state,
                                        const uint8_t* next, uint8_t* output) {
  for (size_t lane = 0; lane < kGroupLanes; ++lane) {
    uint16_t& position = state->positions[lane];
    const uint32_t window =
        (state->words[0][lane] | static_cast<uint32_t>(state->words[1][lane]) << 16) >> position;
    const size_t prefix = window % kPrefixes;
    const uint8_t payload = static_cast<uint8_t>(window >> kPrefixBits) & table.mask[prefix];
    const uint8_t rank = static_cast<uint8_t>(table.base[prefix] + payload);
    output[lane % kHalfLanes * 2 + lane / kHalfLanes] = table.symbols[rank];
    position = static_cast<uint16_t>(position + table.length[prefix]);
    if (position < 16) continue;
    position = static_cast<uint16_t>(position - 16);
    state->words[0][lane] = state->words[1][lane];
    state->words[1][lane] = state->words[2][lane];
    __builtin_memcpy(&state->words[2][lane], next, sizeof(uint16_t));
    next += sizeof(uint16_t);
  }
  return next;
}

size_t decode_lanes(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                    uint8_t* output) {
  constexpr ptrdiff_t kMostBytes = kGroupLanes * sizeof(uint16_t);
  for (size_t block = 0; block < blocks; ++block) {
    for (size_t group = 0; group < kLaneGroups; ++group) {
      if (readers[group].end - readers[group].next < kMostBytes) return block;
    }
    for (size_t group = 0; group < kLaneGroups; ++group) {
      LaneReader& reader = readers[group];
      reader.next = decode_lane_group(table, &reader.state, reader.next, output);
      output += kGroupLanes;
    }
  }
  return blocks;
}
