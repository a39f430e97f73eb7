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
  Window window;
};

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
