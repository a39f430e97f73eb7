// The grouped prefix code in 64 interleaved lanes. libs/codec/LANES.md specifies the code, its byte
// form and the segments.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/codec_tables.h"

namespace entrofleet {

// The first bits of a code word that say all about it: its length, its payload and its first rank.
constexpr int kPrefixBits = 6;
constexpr size_t kPrefixes = size_t{1} << kPrefixBits;
constexpr int kMostPayloadBits = 8;
constexpr int kMostLaneCodeBits = kPrefixBits + kMostPayloadBits;

// A segment is two groups of 64 lanes, each with its own stream of words; a block is one symbol of
// every lane. Two groups, because one alone waits for its own table lookups most of the time.
constexpr size_t kGroupLanes = 64;
constexpr size_t kLaneGroups = 2;
constexpr size_t kLaneBlock = kGroupLanes * kLaneGroups;
// Words of 16 bits that a lane holds. The third one is there so that its load has a whole round to
// arrive.
constexpr size_t kLaneWords = 3;
// Start positions (4 bits a lane) and the word count of the first stream.
constexpr size_t kLaneHeaderBytes = kLaneBlock / 2 + 4;

// Ranks are coded in order by items: an item of `length` up to kPrefixBits is a code word for one
// rank; a longer one is a prefix for 2^(length - kPrefixBits) ranks, told apart by a payload. The
// last one may reach past rank 255, where ranks count modulo 256.
struct LaneCode {
  // Whether symbols are in the order of their code lengths (and then of themselves), or else in
  // zigzag around the centre: c, c - 1, c + 1, c - 2...
  bool listed = false;
  uint8_t centre = 0;
  // One per item, rank 0 first. A lone rank has length 0.
  std::vector<uint8_t> lengths;
  // Symbol of each rank that has a code word.
  std::vector<uint8_t> symbols;
};

// The cheapest code for these counts, in zigzag order unless the listed one is clearly cheaper. It
// depends on the counts alone, which must sum to less than 2^53. Without counts, a code for 0.
LaneCode optimal_lane_code(const Histogram& counts);

std::vector<uint8_t> lane_code_bytes(const LaneCode& code);

// Throws CodecFailure BadCodeTable unless the bytes are those of a complete code.
LaneCode read_lane_code(std::span<const uint8_t> bytes);

// What each prefix means. Complete: every sequence of bits decodes to symbols.
struct LaneDecodeTable {
  explicit LaneDecodeTable(const LaneCode& code);

  // By the next kPrefixBits bits, the first one lowest: bits of the code word, mask of its payload
  // (which follows the prefix), and the rank that payload 0 stands for.
  alignas(64) uint8_t length[kPrefixes];
  alignas(64) uint8_t mask[kPrefixes];
  alignas(64) uint8_t base[kPrefixes];
  // By rank; ranks without a code word never come up.
  alignas(64) uint8_t symbols[256];
  bool listed;
  uint8_t centre;
};

// By symbol: its code word, the first bit lowest, and the word's length. A symbol without a code
// word has length 0 and word 0.
struct LaneEncodeTable {
  explicit LaneEncodeTable(const LaneCode& code);

  alignas(64) uint8_t word_low[256];
  alignas(64) uint8_t word_high[256];
  alignas(64) uint8_t length[256];
  // Rank 0's symbol, which fills up the last block.
  uint8_t padding;
};

// A group's lanes. Arrays over lanes hold lanes 0, 2, 4... first and then 1, 3, 5..., which is how
// kernels keep the even and odd bytes of 64 symbols in 16-bit elements.
struct LaneState {
  // The lane's next bits, nearest word first, of which the first `positions` (0 to 15) are used.
  alignas(64) uint16_t words[kLaneWords][kGroupLanes];
  alignas(64) uint16_t positions[kGroupLanes];
};

struct LaneReader {
  LaneState state;
  // The words to come, little endian, at any alignment.
  const uint8_t* next;
  const uint8_t* end;
};

struct LaneWriter {
  LaneState state;
  // The words so far; the next one goes before it.
  uint8_t* begin;
};

}  // namespace entrofleet
