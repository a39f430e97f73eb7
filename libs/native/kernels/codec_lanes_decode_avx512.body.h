// Decoding blocks of lanes with AVX-512 (VBMI, VBMI2, GFNI): what codec_lanes_decode.body.h does,
// 32 lanes a register. Included by codec_kernels.body.h.

// Each group reads one or two cache lines a block, at a distance that no hardware prefetcher
// foresees: measured, decoding from memory is a third as fast without.
constexpr size_t kPrefetchBytes = 1024;

struct DecodeRegisters {
  __m512i length;
  __m512i mask;
  __m512i base;
  // Only for listed codes: by rank, 64 each.
  __m512i symbols_0;
  __m512i symbols_64;
  __m512i symbols_128;
  __m512i symbols_192;
  // Only for zigzag codes: the bits of a distance from those of a rank, and the centre.
  __m512i unfold;
  __m512i centre;

  explicit DecodeRegisters(const LaneDecodeTable& table) {
    length = _mm512_load_si512(table.length);
    mask = _mm512_load_si512(table.mask);
    base = _mm512_load_si512(table.base);
    symbols_0 = _mm512_load_si512(table.symbols);
    symbols_64 = _mm512_load_si512(table.symbols + 64);
    symbols_128 = _mm512_load_si512(table.symbols + 128);
    symbols_192 = _mm512_load_si512(table.symbols + 192);
    // Bit i of a distance, (rank >> 1) ^ -(rank & 1), is bit i + 1 of the rank plus its bit 0,
    // modulo 2; GFNI takes bit i's row from byte 7 - i.
    unfold = _mm512_set1_epi64(0x0305'0911'2141'8101);
    centre = _mm512_set1_epi8(static_cast<char>(table.centre));
  }

  template <bool kListed>
  __m512i symbols_of(__m512i ranks) const {
    if (!kListed) return _mm512_add_epi8(centre, _mm512_gf2p8affine_epi64_epi8(ranks, unfold, 0));
    const __m512i low = _mm512_permutex2var_epi8(symbols_0, ranks, symbols_64);
    const __m512i high = _mm512_permutex2var_epi8(symbols_128, ranks, symbols_192);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(ranks), low, high);
  }

  // The symbols that the windows of even and odd lanes begin with, in the order of lanes.
  template <bool kListed>
  __m512i decode(__m512i even, __m512i odd) const {
    const __m512i low_bytes = _mm512_set1_epi16(0xff);
    constexpr int kChoose = 0xca;
    // A lookup uses the low 6 bits of a byte.
    const __m512i prefixes =
        _mm512_ternarylogic_epi64(low_bytes, even, _mm512_slli_epi16(odd, 8), kChoose);
    const __m512i payloads =
        _mm512_ternarylogic_epi64(low_bytes, _mm512_srli_epi16(even, kPrefixBits),
                                  _mm512_slli_epi16(odd, 8 - kPrefixBits), kChoose);
    const __m512i first_ranks = _mm512_permutexvar_epi8(prefixes, base);
    const __m512i masks = _mm512_permutexvar_epi8(prefixes, mask);
    return symbols_of<kListed>(_mm512_add_epi8(first_ranks, _mm512_and_si512(payloads, masks)));
  }
};

// The even or the odd lanes of a group, one in each 16-bit element. Plain members and no arrays:
// the compiler must see that all of it fits registers.
struct HalfGroup {
  __m512i near;
  __m512i middle;
  __m512i far;
  // 0 to 15.
  __m512i positions;
  // The next 16 bits of every lane.
  __m512i window;

  HalfGroup(const LaneState& state, size_t first) {
    near = _mm512_load_si512(state.words[0] + first);
    middle = _mm512_load_si512(state.words[1] + first);
    far = _mm512_load_si512(state.words[2] + first);
    positions = _mm512_load_si512(state.positions + first);
    window = _mm512_shrdv_epi16(near, middle, positions);
  }

  void store(LaneState* state, size_t first) const {
    _mm512_store_si512(state->words[0] + first, near);
    _mm512_store_si512(state->words[1] + first, middle);
    _mm512_store_si512(state->words[2] + first, far);
    _mm512_store_si512(state->positions + first, positions);
  }

  // Passes the code words that the windows begin with. Loads 64 bytes from `next`, and returns the
  // end of those that lanes took. One block waits for another only from window to window, so both
  // windows that may follow are made before it is known which lanes take a word.
  const uint8_t* advance(__m512i length_table, const uint8_t* next) {
    // The high bytes are lookups of other bits and change no low nibble.
    const __m512i lengths = _mm512_permutexvar_epi8(window, length_table);
    const __m512i moved = _mm512_add_epi16(positions, lengths);
    const __mmask32 takes = _mm512_test_epi16_mask(moved, _mm512_set1_epi16(16));
    // Shifts count modulo 16.
    const __m512i stayed = _mm512_shrdv_epi16(near, middle, moved);
    const __m512i passed = _mm512_shrdv_epi16(middle, far, moved);
    window = _mm512_mask_mov_epi16(stayed, takes, passed);
    positions = _mm512_and_si512(moved, _mm512_set1_epi16(15));
    near = _mm512_mask_mov_epi16(near, takes, middle);
    middle = _mm512_mask_mov_epi16(middle, takes, far);
    far = _mm512_mask_expand_epi16(far, takes, _mm512_loadu_si512(next));
    return next + sizeof(uint16_t) * static_cast<size_t>(_mm_popcnt_u32(takes));
  }
};

struct DecodedGroup {
  HalfGroup even;
  HalfGroup odd;
  const uint8_t* next;
  // The last place where a block may begin to read.
  const uint8_t* last;

  explicit DecodedGroup(const LaneReader& reader)
      : even(reader.state, 0),
        odd(reader.state, kGroupLanes / 2),
        next(reader.next),
        last(reader.end - kGroupLanes * sizeof(uint16_t)) {}

  void store(LaneReader* reader) const {
    even.store(&reader->state, 0);
    odd.store(&reader->state, kGroupLanes / 2);
    reader->next = next;
  }

  template <bool kListed, bool kStreamed>
  void decode_block(const DecodeRegisters& tables, uint8_t* output) {
    const __m512i symbols = tables.decode<kListed>(even.window, odd.window);
    if (kStreamed) {
      _mm512_stream_si512(reinterpret_cast<__m512i*>(output), symbols);
    } else {
      _mm512_storeu_si512(output, symbols);
    }
    next = even.advance(tables.length, next);
    next = odd.advance(tables.length, next);
    __builtin_prefetch(next + kPrefetchBytes);
  }
};

template <bool kListed, bool kStreamed>
inline size_t decode_lane_blocks(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                                 uint8_t* output) {
  const DecodeRegisters tables(table);
  DecodedGroup first(readers[0]);
  DecodedGroup second(readers[1]);
  size_t block = 0;
  // A group loads 64 bytes for its even lanes from where it is, moves on by 64 at most, and loads
  // 64 for its odd lanes: together the 128 that lie between `last` and the reader's end. It stores
  // 64 bytes, both groups kLaneBlock, once for each of `blocks`.
  for (; block < blocks && first.next <= first.last && second.next <= second.last; ++block) {
    first.decode_block<kListed, kStreamed>(tables, output + block * kLaneBlock);
    second.decode_block<kListed, kStreamed>(tables,
                                            output + block * kLaneBlock + kGroupLanes);
  }
  first.store(&readers[0]);
  second.store(&readers[1]);
  return block;
}

size_t decode_lanes(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                    uint8_t* output) {
  return table.listed ? decode_lane_blocks<true, false>(table, readers, blocks, output)
                      : decode_lane_blocks<false, false>(table, readers, blocks, output);
}

size_t stream_lanes(const LaneDecodeTable& table, LaneReader* readers, size_t blocks,
                    uint8_t* output) {
  const size_t decoded = table.listed
                             ? decode_lane_blocks<true, true>(table, readers, blocks, output)
                             : decode_lane_blocks<false, true>(table, readers, blocks, output);
  // Such stores are not ordered with what tells other threads of them.
  _mm_sfence();
  return decoded;
}
