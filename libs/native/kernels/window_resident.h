// A matrix of symbols held as windows (window_matrix.h), as the engine's model multiplies it.
#pragma once

#include <memory>
#include <vector>

#include "kernels/resident_matrix.h"
#include "kernels/window_matrix.h"

namespace entrofleet {

class WindowResident final : public ResidentMatrix {
 public:
  // A weight is step * (symbol - zero_point), with one step for the matrix or one per row.
  WindowResident(std::shared_ptr<const WindowMatrix> windows, float zero_point,
                 std::vector<float> steps);

  size_t resident_bytes() const override;
  InputForm input_form() const override { return InputForm::kQuantized; }
  size_t items() const override;
  size_t scratch_bytes(size_t positions) const override;
  void multiply(const MatrixInputs& inputs, size_t item, const ProductScratch& scratch,
                const MatrixOutputs& outputs) const noexcept override;
  void read_row(size_t row, float* values) const override;

 private:
  std::shared_ptr<const WindowMatrix> windows_;
  float zero_point_;
  std::vector<float> steps_;
};

}  // namespace entrofleet
