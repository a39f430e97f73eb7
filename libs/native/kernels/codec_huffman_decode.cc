#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "kernels/codec_failure.h"
#include "kernels/codec_huffman.h"
#include "kernels/codec_huffman_table.h"

namespace entrofleet {
namespace {

constexpr size_t kTableEntries = size_t{1} << kCodeLengthMax;
constexpr size_t kTableMask = kTableEntries - 1;
// Symbols that one lookup may give; they sit in the upper six bytes of an entry.
constexpr size_t kSymbolsPerLookup = 6;
constexpr size_t kLookupsPerRefill = 4;  // 4 x 12 bits fit the 56 that a refill guarantees
// One refill round of a stream advances its input by at most 7 bytes and reads 8; it advances its
// output by at most 24 bytes and touches 2 more, because each lookup stores 8 bytes.
constexpr size_t kInputPerRound = 7;
constexpr size_t kOutputPerRound = kLookupsPerRefill * kSymbolsPerLookup;
constexpr size_t kStoreOverhang = 8 - kSymbolsPerLookup;

struct DecodeTable {
  // Bits 0..7: bits consumed; 8..15: symbols given; 16..63: the symbols, first one lowest.
  // A bit pattern that starts no code word gives nothing and consumes nothing.
  std::array<uint64_t, kTableEntries> many;
  // Low byte: code length, 0 for no code word; high byte: the symbol.
  std::array<uint16_t, kTableEntries> one;
};

DecodeTable build_table(const CodeLengths& lengths) {
  DecodeTable table{};
  const CodeWords words = assign_code_words(lengths);
  for (size_t s = 0; s < 256; ++s) {
    if (lengths[s] == 0) continue;
    for (size_t at = words[s]; at < kTableEntries; at += size_t{1} << lengths[s]) {
      table.one[at] = static_cast<uint16_t>(lengths[s] | s << 8);
    }
  }
  for (size_t at = 0; at < kTableEntries; ++at) {
    uint64_t symbols = 0;
    size_t used = 0, given = 0;
    while (given < kSymbolsPerLookup) {
      const uint16_t entry = table.one[at >> used];
      const size_t length = entry & 0xff;
      if (length == 0 || used + length > kCodeLengthMax) break;
      symbols |= static_cast<uint64_t>(entry >> 8) << (8 * given++);
      used += length;
    }
    table.many[at] = used | given << 8 | symbols << 16;
  }
  return table;
}

struct Stream {
  const uint8_t* in;
  const uint8_t* in_end;
  uint8_t* out;
  uint8_t* out_end;
  uint64_t bits = 0;   // the next bits, lowest first; zero above `held`
  unsigned held = 0;
};

// Rounds all four streams can run without looking at a bound: the smallest room of any of them.
size_t safe_rounds(const Stream (&streams)[kStreams]) {
  size_t rounds = std::numeric_limits<size_t>::max();
  for (const Stream& stream : streams) {
    const size_t input = static_cast<size_t>(stream.in_end - stream.in);
    const size_t output = static_cast<size_t>(stream.out_end - stream.out);
    if (input < 8 || output < kOutputPerRound + kStoreOverhang) return 0;
    rounds = std::min(rounds, (input - 8) / kInputPerRound + 1);
    rounds = std::min(rounds, (output - kOutputPerRound - kStoreOverhang) / kOutputPerRound + 1);
  }
  return rounds;
}

// Within safe_rounds() every 8-byte load ends before in_end and every 8-byte store before out_end:
// in round r the input has advanced by at most 7r bytes and the output by at most 24r.
void decode_rounds(Stream (&streams)[kStreams], const uint64_t* table, size_t rounds) {
  const uint8_t* in[kStreams];
  uint8_t* out[kStreams];
  uint64_t bits[kStreams];
  uint64_t held[kStreams];
  for (size_t k = 0; k < kStreams; ++k) {
    in[k] = streams[k].in;
    out[k] = streams[k].out;
    bits[k] = streams[k].bits;
    held[k] = streams[k].held;
  }
  for (; rounds > 0; --rounds) {
#pragma GCC unroll 4
    for (size_t k = 0; k < kStreams; ++k) {
      // Tops up to 56..63 bits. Bits of the word beyond `held` are loaded again, as the same bits,
      // by the next refill.
      uint64_t word;
      std::memcpy(&word, in[k], 8);
      bits[k] |= word << held[k];
      in[k] += (63 - held[k]) >> 3;
      held[k] |= 56;
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < kLookupsPerRefill; ++i) {
#pragma GCC unroll 4
      for (size_t k = 0; k < kStreams; ++k) {
        const uint64_t entry = table[bits[k] & kTableMask];
        const uint64_t symbols = entry >> 16;
        std::memcpy(out[k], &symbols, 8);
        out[k] += entry >> 8 & 0xff;
        bits[k] >>= entry & 0x3f;
        held[k] -= entry & 0x3f;
      }
    }
  }
  for (size_t k = 0; k < kStreams; ++k) {
    const unsigned kept = static_cast<unsigned>(held[k]);
    streams[k] = {in[k], streams[k].in_end, out[k], streams[k].out_end,
                  bits[k] & ((uint64_t{1} << kept) - 1), kept};
  }
}

// Decodes the rest symbol by symbol. True when the stream ends exactly at its last bit's byte,
// with zero padding.
bool finish_stream(Stream& stream, const std::array<uint16_t, kTableEntries>& table) {
  while (stream.out < stream.out_end) {
    while (stream.held <= 56 && stream.in < stream.in_end) {
      stream.bits |= static_cast<uint64_t>(*stream.in++) << stream.held;
      stream.held += 8;
    }
    const uint16_t entry = table[stream.bits & kTableMask];
    const unsigned length = entry & 0xff;
    if (length == 0 || length > stream.held) return false;
    *stream.out++ = static_cast<uint8_t>(entry >> 8);
    stream.bits >>= length;
    stream.held -= length;
  }
  return stream.in == stream.in_end && stream.held < 8 && stream.bits == 0;
}

bool decode_segment(std::span<const uint8_t> segment, const DecodeTable& table,
                    std::span<uint8_t> out) {
  if (segment.size() < kSegmentHeaderBytes) return false;
  const uint8_t* at = segment.data() + kSegmentHeaderBytes;
  size_t left = segment.size() - kSegmentHeaderBytes;
  const size_t run = (out.size() + kStreams - 1) / kStreams;
  Stream streams[kStreams];
  for (size_t k = 0; k < kStreams; ++k) {
    uint32_t size = static_cast<uint32_t>(left);
    if (k + 1 < kStreams) std::memcpy(&size, segment.data() + 4 * k, 4);
    if (size > left) return false;
    const size_t first = std::min(k * run, out.size());
    const size_t last = std::min(first + run, out.size());
    streams[k] = {at, at + size, out.data() + first, out.data() + last};
    at += size;
    left -= size;
  }
  while (const size_t rounds = safe_rounds(streams)) {
    decode_rounds(streams, table.many.data(), rounds);
    // A pattern without a code word stands still; finish_stream then says so.
    if (std::any_of(std::begin(streams), std::end(streams), [&](const Stream& stream) {
          return stream.held >= kCodeLengthMax && table.one[stream.bits & kTableMask] == 0;
        })) {
      return false;
    }
  }
  bool whole = true;
  for (Stream& stream : streams) whole = finish_stream(stream, table.one) && whole;
  return whole;
}

// Fisher-Yates with splitmix64, so that a seed gives the same order everywhere.
std::vector<uint32_t> shuffled(size_t count, uint64_t seed) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (size_t i = count; i > 1; --i) {
    uint64_t x = seed += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    std::swap(order[i - 1], order[(x ^ (x >> 31)) % i]);
  }
  return order;
}

}  // namespace

void decode_segments(std::span<const uint8_t> payload, std::span<const uint32_t> segment_sizes,
                     size_t segment_symbols, const CodeLengths& lengths, uint64_t seed,
                     ThreadTeam& team, std::span<uint8_t> out) {
  if (out.empty()) return;
  if (!code_lengths_valid(lengths)) {
    throw CodecFailure{"BadCodeTable", "the code lengths do not form a complete prefix code"};
  }
  const DecodeTable table = build_table(lengths);
  std::vector<size_t> offsets(segment_sizes.size());
  size_t offset = 0;
  for (size_t s = 0; s < offsets.size(); ++s) {
    offsets[s] = offset;
    offset += segment_sizes[s];
  }
  const std::vector<uint32_t> order = shuffled(offsets.size(), seed);
  const size_t members = static_cast<size_t>(team.size());
  std::atomic<size_t> corrupt{std::numeric_limits<size_t>::max()};
  team.run([&](int member) {
    for (size_t i = static_cast<size_t>(member); i < order.size(); i += members) {
      const size_t s = order[i];
      const size_t first = s * segment_symbols;
      const std::span<uint8_t> run =
          out.subspan(first, std::min(segment_symbols, out.size() - first));
      if (decode_segment(payload.subspan(offsets[s], segment_sizes[s]), table, run)) continue;
      size_t seen = corrupt.load();
      while (s < seen && !corrupt.compare_exchange_weak(seen, s)) {
      }
    }
  });
  const size_t bad = corrupt.load();
  if (bad != std::numeric_limits<size_t>::max()) {
    throw CodecFailure{"CorruptSegment", "segment " + std::to_string(bad) + " is corrupt"};
  }
}

}  // namespace entrofleet
