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
// A tile of indices for tuples of four has sixteen steps.
constexpr size_t kMostTileSymbols = 2 * kTileSymbols;

// Sums of 8-bit symbols times 8-bit halves of activations over so many columns fit 32 bits:
// 255 * 127 * 65536 < 2^31.
constexpr size_t kMostWindowColumns = 65536;

// Internal to each file, for files compiled for different instruction sets must not share a copy.
static constexpr size_t tile_bytes(unsigned bits) { return kTileSymbols / 8 * bits; }

static constexpr size_t tiles_across(size_t columns) {
  return (columns + kTileColumns - 1) / kTileColumns;
}

// Which symbols a group's tiles hold, as what they are above `low`. What becomes of the others:
// listed, they are held as 0 and their places are listed; with `escapes`, the greatest value of
// `bits` stands for each of them, and the symbols themselves follow each other as literals.
struct Window {
  uint8_t bits;
  uint8_t low;
  bool escapes = false;
};

// How many symbols beginning with `low` a window holds.
static constexpr size_t window_width(Window window) {
  return (size_t{1} << window.bits) - (window.escapes ? 1 : 0);
}

// Several symbols as one index (RESIDENT.md): a pair, which is place i of two steps, or four
// symbols below 16, place i of four steps. The greatest index is the escape: a byte, the tuple's
// literal, is its index in the far table, and kFarEscape in there says that the tuple itself is
// written.
struct Codebook {
  static constexpr size_t kEntries = 256;
  static constexpr uint8_t kFarEscape = 255;

  // A tuple in two bytes: of a pair its first and its second symbol, of four the first two and the
  // last two, the earlier in the low nibble.
  struct Table {
    alignas(64) uint8_t first[kEntries];
    alignas(64) uint8_t second[kEntries];
  };

  uint8_t tuple;       // 2, or 4
  uint8_t index_bits;  // 5 to 8
  Table near;
  Table far;

  uint8_t escape() const { return static_cast<uint8_t>((1u << index_bits) - 1); }
};

// A tile of indices is four vectors of 64, each for as many steps as a tuple has symbols.
constexpr size_t kIndexVectors = 4;

static constexpr size_t coded_tile_bytes(unsigned index_bits) {
  return kIndexVectors * kStepBytes / 8 * index_bits;
}

// Behind the literals of a group with a codebook are the tuples of those that are kFarEscape, in
// blocks for so many literals: all their first bytes, then all their second ones.
constexpr size_t kLiteralBlock = 64;
// So many of a group are decoded into a product's scratch.
constexpr size_t kMostLiterals = size_t{1} << 15;

// Where a row and column of a tile or panel lie.
static constexpr size_t step_place(size_t row, size_t column) {
  return column / kStepColumns * kStepBytes + row * kStepColumns + column % kStepColumns;
}

struct WindowGroup {
  const uint8_t* tiles;  // aligned to 64 bytes
  // What the tiles do not hold, before them: literals, or a list of exceptions. 64 bytes from any
  // literal on can be read.
  const uint8_t* outside;
  uint32_t exception_count;  // literals, or entries of the list
  // With a codebook neither counts.
  Window window;
  const Codebook* codebook = nullptr;  // null: the tiles hold windows

  // Rising places, place = 16 * column + row. An entry holds the distance from the place before it
  // (from 0 for the first) above the symbol, which takes symbol_bits.
  const uint16_t* list() const { return reinterpret_cast<const uint16_t*>(outside); }
  bool is_listed() const { return codebook == nullptr && !window.escapes; }
};

// Columns of a tile of the group.
static inline size_t group_tile_columns(const WindowGroup& group) {
  if (group.codebook == nullptr) return kTileColumns;
  return kIndexVectors * group.codebook->tuple * kStepColumns;
}

static inline size_t group_tile_bytes(const WindowGroup& group) {
  if (group.codebook == nullptr) return tile_bytes(group.window.bits);
  return coded_tile_bytes(group.codebook->index_bits);
}

static inline size_t group_tiles(const WindowGroup& group, size_t columns) {
  const size_t each = group_tile_columns(group);
  return (columns + each - 1) / each;
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
