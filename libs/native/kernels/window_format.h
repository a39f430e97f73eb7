// A matrix of symbols as fixed-width windows plus sparse exceptions, laid out for products
// (RESIDENT.md). Plain data: the class that owns it is WindowMatrix.
#pragma once

#include <cstddef>
#include <cstdint>

namespace entrofleet {

// A group is this many rows, a step this many columns of them: 64 bytes, byte 4 * row + column.
constexpr size_t kWindowRows = 16;
constexpr size_t kStepColumns = 4;
constexpr size_t kStepBytes = kWindowRows * kStepColumns;
// A tile is eight steps, so that each plane of bits fills whole vectors of 64 bytes.
constexpr size_t kTileSteps = 8;
constexpr size_t kTileColumns = kTileSteps * kStepColumns;
constexpr size_t kTileSymbols = kWindowRows * kTileColumns;

// Sums of 8-bit symbols times 8-bit halves of activations over so many columns fit 32 bits:
// 255 * 127 * 65536 < 2^31.
constexpr size_t kMostWindowColumns = 65536;

// Internal to each file, for files compiled for different instruction sets must not share a copy.
static constexpr size_t tile_bytes(unsigned bits) { return kTileSymbols / 8 * bits; }

static constexpr size_t tiles_across(size_t columns) {
  return (columns + kTileColumns - 1) / kTileColumns;
}

// Symbols low..low + 2^bits - 1 are held as symbol - low; any other is held as 0 and listed.
struct Window {
  uint8_t bits;
  uint8_t low;
};

// Several symbols as one index (RESIDENT.md): a pair, which is place i of two steps, or four
// symbols below 16, place i of four steps.
struct Codebook {
  static constexpr size_t kEntries = 256;

  uint8_t tuple;       // 2, or 4
  uint8_t index_bits;  // 5 to 8; 8 for tuples of four
  // Stands in an exception's place. The tuple of nothing but fillers is always an entry.
  uint8_t filler;
  // By index; entries from 2^index_bits on are those of other indices again. Of a pair its first
  // and its second symbol; of four the first two and the last two, the earlier in the low nibble.
  alignas(64) uint8_t first[kEntries];
  alignas(64) uint8_t second[kEntries];
};

static constexpr size_t coded_tile_bytes(unsigned tuple, unsigned index_bits) {
  return kTileSymbols / 8 * index_bits / tuple;
}

// Where a row and column of a tile or panel lie.
static constexpr size_t step_place(size_t row, size_t column) {
  return column / kStepColumns * kStepBytes + row * kStepColumns + column % kStepColumns;
}

struct WindowGroup {
  const uint8_t* tiles;  // aligned to 64 bytes
  // Rising places, place = 16 * column + row. An entry holds the distance from the place before it
  // (from 0 for the first) above the symbol, which takes symbol_bits.
  const uint16_t* exceptions;
  uint32_t exception_count;
  // With a codebook `low` is its filler and `bits` is 0.
  Window window;
  const Codebook* codebook = nullptr;  // null: the tiles hold windows
};

static inline size_t group_tile_bytes(const WindowGroup& group) {
  if (group.codebook == nullptr) return tile_bytes(group.window.bits);
  return coded_tile_bytes(group.codebook->tuple, group.codebook->index_bits);
}

struct WindowView {
  size_t rows;
  size_t columns;
  unsigned symbol_bits;  // 8, or 4 where all symbols are below 16
  const WindowGroup* groups;
};

static constexpr size_t window_groups(size_t rows) {
  return (rows + kWindowRows - 1) / kWindowRows;
}

}  // namespace entrofleet
