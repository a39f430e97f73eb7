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

size_t bits_per_weight(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32: return 32;
    case WeightFormat::kFloat16:
    case WeightFormat::kBfloat16: return 16;
    case WeightFormat::kUint8: return 8;
    case WeightFormat::kUint4: return 4;
  }
  return 32;
}

size_t rows_of_item(const WeightMatrix& weights) {
  const size_t row_bytes = weights.columns * bits_per_weight(weights.format) / 8 + 1;
  const size_t rows = kItemBytes / row_bytes / kTileRows * kTileRows;
  return std::clamp(rows, kTileRows, kMostItemRows);
}

}  // namespace

FloatMatrix::FloatMatrix(const WeightMatrix& weights, std::shared_ptr<const void> owner)
    : ResidentMatrix(weights.rows, weights.columns),
      weights_(weights),
      item_rows_(rows_of_item(weights)),
      owner_(std::move(owner)) {}

size_t FloatMatrix::resident_bytes() const {
  const size_t bytes = (rows() * columns() * bits_per_weight(weights_.format) + 7) / 8;
  if (is_float(weights_.format)) return bytes;
  return bytes + (weights_.step_per_row ? rows() : 1) * sizeof(float);
}

size_t FloatMatrix::items() const { return (rows() + item_rows_ - 1) / item_rows_; }

size_t FloatMatrix::scratch_bytes(size_t positions) const {
  if (is_float(weights_.format)) return 0;
  return positions * sizeof(float) + kUnpackedRows * columns();
}

void FloatMatrix::multiply(const MatrixInputs& inputs, size_t item, const ProductScratch& scratch,
                           const MatrixOutputs& outputs) const noexcept {
  const EngineKernels& kernels = engine_kernels(active_isa());
  float* const sums = reinterpret_cast<float*>(scratch.own);
  if (!is_float(weights_.format)) {
    for (size_t p = 0; p < inputs.positions; ++p) {
      sums[p] = kernels.sum(inputs.values + p * inputs.stride, columns());
    }
  }
  const MatrixProduct product{&weights_,        outputs.bias,  inputs.values, inputs.stride, sums,
                              inputs.positions, outputs.values, outputs.stride};
  const size_t begin = item * item_rows_;
  kernels.multiply(product, begin, std::min(begin + item_rows_, rows()),
                   scratch.own + inputs.positions * sizeof(float));
}

void FloatMatrix::read_row(size_t row, float* values) const {
  engine_kernels(active_isa()).read_row(weights_, row, values);
}

}  // namespace entrofleet
