#include "kernels/float_matrix.h"

#include <algorithm>
#include <utility>

namespace entrofleet {
namespace {

// Long enough that taking an item costs nothing beside it, short enough to share evenly.
constexpr size_t kItemBytes = size_t{128} << 10;
// A multiple of the rows of a tile, so that only the last item has a partial one.
constexpr size_t kTileRows = 8;
constexpr size_t kMostItemRows = 64;

size_t rows_of_item(const FloatWeights& weights) {
  const size_t row_bytes = weights.columns * bytes_of(weights.format);
  const size_t rows = kItemBytes / row_bytes / kTileRows * kTileRows;
  return std::clamp(rows, kTileRows, kMostItemRows);
}

}  // namespace

FloatMatrix::FloatMatrix(const FloatWeights& weights, std::shared_ptr<const void> owner)
    : ResidentMatrix(weights.rows, weights.columns),
      weights_(weights),
      item_rows_(rows_of_item(weights)),
      owner_(std::move(owner)) {}

size_t FloatMatrix::resident_bytes() const {
  return rows() * columns() * bytes_of(weights_.format);
}

size_t FloatMatrix::items() const { return (rows() + item_rows_ - 1) / item_rows_; }

void FloatMatrix::multiply(const MatrixInputs& inputs, size_t item,
                           const ProductScratch& /*scratch*/,
                           const MatrixOutputs& outputs) const noexcept {
  const size_t begin = item * item_rows_;
  engine_kernels(active_isa())
      .multiply({&weights_, outputs.bias, inputs.values, inputs.stride, inputs.positions,
                 outputs.values, outputs.stride},
                begin, std::min(begin + item_rows_, rows()));
}

void FloatMatrix::read_row(size_t row, float* values) const {
  engine_kernels(active_isa()).read_row(weights_, row, values);
}

}  // namespace entrofleet
