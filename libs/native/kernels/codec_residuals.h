// The levels of one matrix coded by what those of a similar one, on another grid, predict.
// libs/artifact/DELTA.md specifies prediction, contexts and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace entrofleet {

// Steps of the base over steps of the target, times this, are at most kMostRatio.
constexpr int kRatioBits = 16;
constexpr int32_t kMostRatio = int32_t{1} << 22;
// Bounds the memory for the row above.
constexpr size_t kMostResidualWeights = size_t{1} << 25;

// How levels of the base become levels of the target.
struct ResidualGrids {
  // Of a level: 8, or 4 with two levels to a symbol.
  int bits;
  int base_zero;
  int target_zero;
  // Weights in a row of the matrix, at least 1.
  size_t columns;
  // Of each row of the block, or one for all.
  std::span<const int32_t> ratios;
};

// Consecutive weights of a matrix.
struct ResidualBlock {
  ResidualGrids grids;
  // Where the first one stands in its row.
  size_t first_column;
  // At most kMostResidualWeights.
  size_t weights;
  // Symbols of the base, one for each `8 / bits` weights, rounded up.
  const uint8_t* base;
};

// Rows that the block touches: how many ratios it takes unless there is one for all.
size_t residual_rows(size_t columns, size_t first_column, size_t weights);

std::vector<uint8_t> encode_residuals(const ResidualBlock& block, const uint8_t* target);

// Writes the symbols of the target. Throws CodecFailure CorruptSegment for what no encoder wrote;
// the output then means nothing. Reads nothing outside of `coded` and the base.
void decode_residuals(const ResidualBlock& block, std::span<const uint8_t> coded, uint8_t* target);

}  // namespace entrofleet
