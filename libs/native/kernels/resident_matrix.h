// A weight matrix as it is held while a model runs, whatever its form: float, symbols in windows,
// or coded. The engine's model sees nothing else of its matrices.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/activations.h"

namespace entrofleet {

// Which of a MatrixInputs' two forms a matrix reads.
enum class InputForm { kFloat, kQuantized };

// One row of inputs for each position of a block, in the forms that the block's matrices read.
struct MatrixInputs {
  const float* values = nullptr;
  size_t stride = 0;  // floats from one position to the next
  size_t positions = 0;
  Activations quantized{};  // meaningless when no matrix of the block reads it
};

// values[p * stride + r] = dot(weights row r, inputs row p) + bias[r]
struct MatrixOutputs {
  float* values = nullptr;
  size_t stride = 0;
  const float* bias = nullptr;  // null: none
};

// Memory for one product; what is in it before does not matter. 64-byte aligned.
struct ProductScratch {
  uint8_t* own = nullptr;     // scratch_bytes(), not shared with items that run at the same time
  uint8_t* shared = nullptr;  // shared_bytes(), the same for all items and for finish()
};

// A product is items() calls of multiply(), in any order and by several threads at once, and then
// one call of finish(). The result of a row and position depends on that row and position only.
class ResidentMatrix {
 public:
  virtual ~ResidentMatrix() = default;
  ResidentMatrix(const ResidentMatrix&) = delete;
  ResidentMatrix& operator=(const ResidentMatrix&) = delete;

  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }

  // Bytes of main memory held, JavaScript's buffers included.
  virtual size_t resident_bytes() const = 0;
  virtual InputForm input_form() const = 0;

  virtual size_t items() const = 0;
  // Both rise with the positions, or stay.
  virtual size_t scratch_bytes(size_t /*positions*/) const { return 0; }
  virtual size_t shared_bytes(size_t /*positions*/) const { return 0; }

  // Must not throw: a failure (of a disk, say) is noted in the shared scratch for finish().
  virtual void multiply(const MatrixInputs& inputs, size_t item, const ProductScratch& scratch,
                        const MatrixOutputs& outputs) const noexcept = 0;
  // After all items, on one thread. May throw, which ends the pass and leaves the caches' lengths.
  virtual void finish(const MatrixInputs& /*inputs*/, const ProductScratch& /*scratch*/,
                      const MatrixOutputs& /*outputs*/) const {}

  // Dequantizes one row: columns() floats. May throw as finish() may.
  virtual void read_row(size_t row, float* values) const = 0;

 protected:
  ResidentMatrix(size_t rows, size_t columns) : rows_(rows), columns_(columns) {}

 private:
  size_t rows_, columns_;
};

}  // namespace entrofleet
