// Huffman streams; libs/codec/SEGMENT.md has the layout. Included by codec_kernels.body.h.

uint64_t coded_bits(const EncodeTable& table, const uint8_t* symbols, size_t count) {
  const uint32_t* entries = table.entries;
  uint64_t bits = 0;
  for (size_t i = 0; i < count; ++i) bits += entries[symbols[i]] >> 16;
  return bits;
}

bool encode_stream(const EncodeTable& table, const uint8_t* symbols, size_t count, uint8_t* output,
                   uint8_t* output_end) {
  constexpr size_t kGroup = 3;
  const uint32_t* entries = table.entries;
  uint64_t pending = 0;
  unsigned pending_bits = 0;
  const auto append = [&](uint8_t symbol) {
    const uint32_t entry = entries[symbol];
    pending |= static_cast<uint64_t>(entry & 0xffff) << pending_bits;
    pending_bits += entry >> 16;
  };
  size_t i = 0;
  // Each group begins with fewer than 8 pending bits and adds at most 3 * 15: no bit is lost.
  for (; count - i >= kGroup && output_end - output >= 8; i += kGroup) {
    for (size_t next = 0; next < kGroup; ++next) append(symbols[i + next]);
    __builtin_memcpy(output, &pending, sizeof(pending));
    output += pending_bits >> 3;
    pending >>= pending_bits & ~7u;
    pending_bits &= 7;
  }
  for (; i < count; ++i) {
    append(symbols[i]);
    for (; pending_bits >= 8; pending_bits -= 8) {
      if (output == output_end) return false;
      *output++ = static_cast<uint8_t>(pending);
      pending >>= 8;
    }
  }
  if (pending_bits > 0) {
    if (output == output_end) return false;
    *output++ = static_cast<uint8_t>(pending);
  }
  return output == output_end;
}

struct StreamCursor {
  // The next bit, counted from the payload's begin, and the bit after the stream's last byte.
  size_t bit;
  size_t bit_end;
  uint8_t* output;
  uint8_t* output_end;
};

struct NarrowEntries {
  using Entry = uint32_t;
  static constexpr size_t kSymbols = DecodeTable::kNarrowSymbols;
  static constexpr int kShift = DecodeTable::kNarrowShift;
  static constexpr Entry kCountMask = 3;
  static const Entry* of(const DecodeTable& table) { return table.narrow; }
};

struct WideEntries {
  using Entry = uint64_t;
  static constexpr size_t kSymbols = DecodeTable::kWideSymbols;
  static constexpr int kShift = DecodeTable::kWideShift;
  static constexpr Entry kCountMask = 7;
  static const Entry* of(const DecodeTable& table) { return table.wide; }
};

constexpr size_t kWindowMask = kDecodeEntries - 1;
// A refill leaves at least 57 bits in the window, enough for four lookups of 12.
constexpr size_t kLookupsPerRefill = 4;
constexpr size_t kLookupsBytes = kLookupsPerRefill * kLookupBits / 8;
// A long code stops the lookups of its refill and is taken after them: three lookups and a long
// code have at most 3 * 12 + 15 bits.
constexpr size_t kRefillBytes = 7;
// It is read from at most kLookupsBytes after the refill's first byte.
constexpr size_t kRefillReadBytes = kLookupsBytes + 8;

// How many refills a stream can take without any check. Refill k (from 0) begins at byte
// bit / 8 + 7k at most and reads kRefillReadBytes from there. It moves the output by kSymbols for
// each lookup at most (a long code is one symbol in place of a lookup), and stores no more than
// sizeof(Entry) bytes from where the output then is.
template <typename Entries>
inline size_t unchecked_refills(const StreamCursor& stream, size_t payload_bytes) {
  const size_t byte = stream.bit >> 3;
  if (byte > payload_bytes || payload_bytes - byte < kRefillReadBytes) return 0;
  const size_t by_input = (payload_bytes - byte - kRefillReadBytes) / kRefillBytes + 1;
  const size_t room = static_cast<size_t>(stream.output_end - stream.output);
  if (room < sizeof(typename Entries::Entry)) return 0;
  const size_t by_output = (room - sizeof(typename Entries::Entry)) /
                           (kLookupsPerRefill * Entries::kSymbols);
  return by_input < by_output ? by_input : by_output;
}

// The entry of the code at the window's begin.
inline uint16_t single_entry(const DecodeTable& table, uint64_t window) {
  const uint16_t entry = table.single[window & kWindowMask];
  if ((entry & 0xff) != 0) return entry;
  const size_t rest = (window >> kLookupBits) & ((size_t{1} << kTailBits) - 1);
  return table.tails[(static_cast<size_t>(entry) >> 8) << kTailBits | rest];
}

// Decodes kStreams streams side by side until one of them is nearly done. A corrupt stream may run
// over its end into the next one; the caller notices by the final position.
template <typename Entries, size_t kStreams>
inline void decode_unchecked(const DecodeTable& table, const uint8_t* payload,
                             size_t payload_bytes, StreamCursor* streams) {
  using Entry = typename Entries::Entry;
  const Entry* const entries = Entries::of(table);
  size_t bits[kStreams];
  uint8_t* outputs[kStreams];
  for (;;) {
    size_t refills = SIZE_MAX;
    for (size_t s = 0; s < kStreams; ++s) {
      const size_t most = unchecked_refills<Entries>(streams[s], payload_bytes);
      if (most < refills) refills = most;
      bits[s] = streams[s].bit;
      outputs[s] = streams[s].output;
    }
    if (refills == 0) return;
    for (; refills > 0; --refills) {
      uint64_t windows[kStreams];
      Entry last[kStreams];
#pragma GCC unroll 4
      for (size_t s = 0; s < kStreams; ++s) {
        __builtin_memcpy(&windows[s], payload + (bits[s] >> 3), sizeof(windows[s]));
        windows[s] >>= bits[s] & 7;
      }
#pragma GCC unroll 4
      for (size_t lookup = 0; lookup < kLookupsPerRefill; ++lookup) {
#pragma GCC unroll 4
        for (size_t s = 0; s < kStreams; ++s) {
          const Entry entry = entries[windows[s] & kWindowMask];
          windows[s] >>= entry & 63;
          bits[s] += entry & 63;
          const Entry symbols = entry >> Entries::kShift;
          __builtin_memcpy(outputs[s], &symbols, sizeof(symbols));
          outputs[s] += (entry >> 6) & Entries::kCountMask;
          last[s] = entry;
        }
      }
#pragma GCC unroll 4
      for (size_t s = 0; s < kStreams; ++s) {
        if (__builtin_expect((last[s] & 63) != 0, 1)) continue;
        uint64_t window;
        __builtin_memcpy(&window, payload + (bits[s] >> 3), sizeof(window));
        const uint16_t entry = single_entry(table, window >> (bits[s] & 7));
        *outputs[s]++ = static_cast<uint8_t>(entry >> 8);
        bits[s] += entry & 0xff;
      }
    }
    for (size_t s = 0; s < kStreams; ++s) {
      streams[s].bit = bits[s];
      streams[s].output = outputs[s];
    }
  }
}

// Up to 8 bytes from `byte`, zeros after the payload's end.
inline uint64_t load_within(const uint8_t* payload, size_t payload_bytes, size_t byte) {
  uint64_t window = 0;
  if (byte >= payload_bytes) return window;
  const size_t left = payload_bytes - byte;
  __builtin_memcpy(&window, payload + byte, left < 8 ? left : 8);
  return window;
}

inline void decode_checked(const DecodeTable& table, const uint8_t* payload, size_t payload_bytes,
                           StreamCursor* stream) {
  while (stream->output != stream->output_end) {
    const uint64_t window =
        load_within(payload, payload_bytes, stream->bit >> 3) >> (stream->bit & 7);
    const uint16_t entry = single_entry(table, window);
    *stream->output++ = static_cast<uint8_t>(entry >> 8);
    stream->bit += entry & 0xff;
  }
}

// Whether a finished stream used all its bytes and left only zero bits.
inline bool ended_well(const StreamCursor& stream, const uint8_t* payload) {
  if (stream.bit > stream.bit_end || stream.bit_end - stream.bit >= 8) return false;
  return stream.bit == stream.bit_end || payload[stream.bit >> 3] >> (stream.bit & 7) == 0;
}

template <typename Entries>
inline void decode_streams(const DecodeTable& table, const uint8_t* payload, size_t payload_bytes,
                           StreamCursor* streams) {
  decode_unchecked<Entries, kSegmentStreams>(table, payload, payload_bytes, streams);
  for (size_t s = 0; s < kSegmentStreams; ++s) {
    decode_unchecked<Entries, 1>(table, payload, payload_bytes, streams + s);
    decode_checked(table, payload, payload_bytes, streams + s);
  }
}

// A lone symbol's code is one zero bit.
inline bool decode_lone_symbol(const DecodeTable& table, const uint8_t* payload,
                               StreamCursor* streams) {
  for (size_t s = 0; s < kSegmentStreams; ++s) {
    StreamCursor& stream = streams[s];
    const size_t count = static_cast<size_t>(stream.output_end - stream.output);
    if (stream.bit_end - stream.bit != (count + 7) / 8 * 8) return false;
    uint8_t ones = 0;
    for (size_t byte = stream.bit >> 3; byte < stream.bit_end >> 3; ++byte) ones |= payload[byte];
    if (ones != 0) return false;
    __builtin_memset(stream.output, table.lone_symbol_value, count);
  }
  return true;
}

// Lays the streams out; false when their sizes do not fit the segment.
inline bool open_streams(const CodedSegment& segment, uint8_t* output, size_t count,
                         StreamCursor* streams) {
  if (segment.end - segment.begin < kSegmentHeaderBytes) return false;
  size_t byte = segment.begin + kSegmentHeaderBytes;
  const size_t quarter = (count + kSegmentStreams - 1) / kSegmentStreams;
  size_t first = 0;
  for (size_t s = 0; s < kSegmentStreams; ++s) {
    size_t bytes = segment.end - byte;
    if (s + 1 < kSegmentStreams) {
      uint32_t stated;
      __builtin_memcpy(&stated, segment.payload + segment.begin + 4 * s, sizeof(stated));
      if (stated > bytes) return false;
      bytes = stated;
    }
    const size_t symbols = count - first < quarter ? count - first : quarter;
    streams[s] = {byte * 8, (byte + bytes) * 8, output + first, output + first + symbols};
    byte += bytes;
    first += symbols;
  }
  return true;
}

bool decode_segment(const DecodeTable& table, const CodedSegment& segment, uint8_t* output,
                    size_t count) {
  StreamCursor streams[kSegmentStreams];
  if (!open_streams(segment, output, count, streams)) return false;
  if (table.lone_symbol) return decode_lone_symbol(table, segment.payload, streams);
  if (table.prefers_wide) {
    decode_streams<WideEntries>(table, segment.payload, segment.payload_bytes, streams);
  } else {
    decode_streams<NarrowEntries>(table, segment.payload, segment.payload_bytes, streams);
  }
  for (const StreamCursor& stream : streams) {
    if (!ended_well(stream, segment.payload)) return false;
  }
  return true;
}
