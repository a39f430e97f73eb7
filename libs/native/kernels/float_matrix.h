// A matrix of floats, row-major, as it was stored: float32, or half precision that is converted in
// registers. Products are in float32; the bits are those of a float32 matrix of the same values.
#pragma once

#include <memory>

#include "kernels/engine_kernels.h"
#include "kernels/resident_matrix.h"

namespace entrofleet {

class FloatMatrix final : public ResidentMatrix {
 public:
  // `owner` keeps the data alive; null when someone else does.
  FloatMatrix(const FloatWeights& weights, std::shared_ptr<const void> owner);

  size_t resident_bytes() const override;
  InputForm input_form() const override { return InputForm::kFloat; }
  size_t items() const override;
  void multiply(const MatrixInputs& inputs, size_t item, const ProductScratch& scratch,
                const MatrixOutputs& outputs) const noexcept override;
  void read_row(size_t row, float* values) const override;

 private:
  FloatWeights weights_;
  size_t item_rows_;
  std::shared_ptr<const void> owner_;
};

}  // namespace entrofleet
