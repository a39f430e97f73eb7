// Rows of a coded tensor as a matrix that is decoded anew for every product: once for all
// positions of a block, a segment at a time, into memory that a core's own cache holds.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kernels/coded_tensor.h"
#include "kernels/engine_kernels.h"
#include "kernels/resident_matrix.h"

namespace entrofleet {

struct CodedRows {
  size_t first_row;
  size_t rows;
  size_t columns;  // at most kMostWindowColumns
  float zero_point;
  // One for the matrix, or one per row of it.
  std::vector<float> steps;
};

class CodedMatrix final : public ResidentMatrix {
 public:
  CodedMatrix(std::shared_ptr<const CodedTensor> tensor, CodedRows rows);

  size_t resident_bytes() const override;
  InputForm input_form() const override { return InputForm::kQuantized; }
  // Segments that hold some of its weights.
  size_t items() const override { return segments_; }
  size_t scratch_bytes(size_t positions) const override;
  size_t shared_bytes(size_t positions) const override;
  void multiply(const MatrixInputs& inputs, size_t item, const ProductScratch& scratch,
                const MatrixOutputs& outputs) const noexcept override;
  // Adds up rows that more than one segment holds. Throws std::runtime_error when a segment could
  // not be read or is corrupt.
  void finish(const MatrixInputs& inputs, const ProductScratch& scratch,
              const MatrixOutputs& outputs) const override;
  // Throws as finish() does.
  void read_row(size_t row, float* values) const override;

 private:
  // Weights [begin, end) of this matrix that an item's segment holds; the first is `skipped`
  // weights after the segment's first.
  struct Piece {
    size_t begin;
    size_t end;
    size_t skipped;
  };
  // A row's part in an item, added up over all items in finish().
  enum class Part { kEnd, kBegin };
  struct LookUp {
    size_t segment = SIZE_MAX;
    std::vector<uint8_t> symbols;
  };

  Piece piece_of(size_t item) const;
  int64_t* part_sums(const ProductScratch& scratch, size_t item, Part part,
                     size_t positions) const;
  void multiply_piece(const MatrixInputs& inputs, size_t item, const ProductScratch& scratch,
                      const MatrixOutputs& outputs) const noexcept;
  void put(const Activations& inputs, size_t row, const int64_t* sums,
           const MatrixOutputs& outputs) const noexcept;
  const uint8_t* looked_up(size_t segment) const;
  float step_of(size_t row) const { return rows_.steps[rows_.steps.size() == 1 ? 0 : row]; }

  std::shared_ptr<const CodedTensor> tensor_;
  CodedRows rows_;
  size_t first_weight_;
  size_t first_segment_;
  size_t segments_;
  // Neighbouring rows lie in the same segment, and texts repeat tokens.
  static constexpr size_t kLookUps = 2;
  mutable std::mutex look_up_mutex_;
  mutable LookUp look_ups_[kLookUps];
  mutable size_t next_look_up_ = 0;
};

}  // namespace entrofleet
