#include "kernels/coded_matrix.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace entrofleet {
namespace {

constexpr size_t kAlignment = 64;
// Rows that one call of the kernel multiplies: what it takes at a time in its panels.
constexpr size_t kRowsAtATime = kPanelGroups * kWindowRows;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::runtime_error unreadable(size_t segment) {
  return std::runtime_error("segment " + std::to_string(segment) +
                            " of a coded matrix can no longer be read from its file");
}

// Shared scratch: a status for each item, then the sums of the rows' parts.
enum Status : uint8_t { kFailed, kDecoded };

}  // namespace

CodedMatrix::CodedMatrix(std::shared_ptr<const CodedTensor> tensor, CodedRows rows)
    : ResidentMatrix(rows.rows, rows.columns),
      tensor_(std::move(tensor)),
      rows_(std::move(rows)),
      first_weight_(rows_.first_row * rows_.columns),
      first_segment_(first_weight_ / tensor_->segment_weights()) {
  const size_t last_weight = first_weight_ + rows_.rows * rows_.columns - 1;
  segments_ = last_weight / tensor_->segment_weights() - first_segment_ + 1;
}

size_t CodedMatrix::resident_bytes() const {
  // Matrices that are rows of one tensor share its segments: each counts its own part.
  const double share =
      static_cast<double>(rows_.rows * rows_.columns) / static_cast<double>(tensor_->weights);
  const double held = share * static_cast<double>(tensor_->source->resident_bytes());
  return static_cast<size_t>(held) + rows_.steps.size() * sizeof(float);
}

size_t CodedMatrix::scratch_bytes(size_t positions) const {
  return aligned(tensor_->cut.segment_symbols) + aligned(kWindowScratchBytes) +
         kRowsAtATime * positions * sizeof(int64_t);
}

size_t CodedMatrix::shared_bytes(size_t positions) const {
  return aligned(segments_) + segments_ * 2 * positions * sizeof(int64_t);
}

CodedMatrix::Piece CodedMatrix::piece_of(size_t item) const {
  const size_t segment_begin = (first_segment_ + item) * tensor_->segment_weights();
  const size_t begin = std::max(segment_begin, first_weight_);
  const size_t end = std::min(segment_begin + tensor_->segment_weights(),
                              first_weight_ + rows_.rows * rows_.columns);
  return {begin - first_weight_, end - first_weight_, begin - segment_begin};
}

int64_t* CodedMatrix::part_sums(const ProductScratch& scratch, size_t item, Part part,
                                size_t positions) const {
  auto* const sums = reinterpret_cast<int64_t*>(scratch.shared + aligned(segments_));
  return sums + (2 * item + (part == Part::kBegin ? 1 : 0)) * positions;
}

void CodedMatrix::multiply(const MatrixInputs& inputs, size_t item, const ProductScratch& scratch,
                           const MatrixOutputs& outputs) const noexcept {
  const bool decoded = tensor_->decode(*tensor_->source, first_segment_ + item, scratch.own);
  scratch.shared[item] = decoded ? kDecoded : kFailed;
  if (decoded) multiply_piece(inputs, item, scratch, outputs);
}

void CodedMatrix::multiply_piece(const MatrixInputs& inputs, size_t item,
                                 const ProductScratch& scratch,
                                 const MatrixOutputs& outputs) const noexcept {
  const EngineKernels& kernels = engine_kernels(active_isa());
  const Activations& activations = inputs.quantized;
  const size_t columns = rows_.columns;
  const Piece piece = piece_of(item);
  uint8_t* const kernel_scratch = scratch.own + aligned(tensor_->cut.segment_symbols);
  auto* const sums = reinterpret_cast<int64_t*>(kernel_scratch + aligned(kWindowScratchBytes));
  // Columns [column, column + count) of `rows` rows, the first of which begins at weight `begin`.
  const auto sum_rows = [&](size_t begin, size_t rows, size_t column, size_t count, int64_t* to) {
    const size_t at = piece.skipped + (begin - piece.begin);
    const bool pairs = tensor_->nibble_pairs;
    const SymbolRows symbols = {scratch.own + (pairs ? at / 2 : at), pairs, pairs && at % 2 == 1,
                                columns, rows, column, count};
    kernels.multiply_symbol_rows(symbols, activations, kernel_scratch, to);
  };
  size_t weight = piece.begin;
  if (weight % columns != 0) {
    const size_t column = weight % columns;
    const size_t count = std::min(columns - column, piece.end - weight);
    sum_rows(weight, 1, column, count, part_sums(scratch, item, Part::kEnd, inputs.positions));
    weight += count;
  }
  while (piece.end - weight >= columns) {
    const size_t rows = std::min((piece.end - weight) / columns, kRowsAtATime);
    sum_rows(weight, rows, 0, columns, sums);
    for (size_t row = 0; row < rows; ++row) {
      put(activations, weight / columns + row, sums + row * inputs.positions, outputs);
    }
    weight += rows * columns;
  }
  if (weight == piece.end) return;
  sum_rows(weight, 1, 0, piece.end - weight,
           part_sums(scratch, item, Part::kBegin, inputs.positions));
}

void CodedMatrix::put(const Activations& inputs, size_t row, const int64_t* sums,
                      const MatrixOutputs& outputs) const noexcept {
  const double step = step_of(row);
  const double bias = outputs.bias == nullptr ? 0 : outputs.bias[row];
  for (size_t p = 0; p < inputs.positions; ++p) {
    // In the order in which window products do it, so that every form gives the same bits.
    const double zero = static_cast<double>(rows_.zero_point) * static_cast<double>(inputs.sums[p]);
    const double value = step * static_cast<double>(inputs.scales[p]) *
                         (static_cast<double>(sums[p]) - zero);
    outputs.values[p * outputs.stride + row] = static_cast<float>(value + bias);
  }
}

void CodedMatrix::finish(const MatrixInputs& inputs, const ProductScratch& scratch,
                         const MatrixOutputs& outputs) const {
  const uint8_t* const statuses = scratch.shared;
  const uint8_t* const failed = std::find(statuses, statuses + segments_, kFailed);
  if (failed != statuses + segments_) {
    throw unreadable(first_segment_ + static_cast<size_t>(failed - statuses));
  }
  const size_t columns = rows_.columns;
  for (size_t item = 0; item < segments_; ++item) {
    const size_t end = piece_of(item).end;
    const size_t row = end / columns;
    // A row that ends with the item, or began before it, is not this item's to add up.
    if (end % columns == 0 || row * columns < piece_of(item).begin) continue;
    int64_t* const sums = part_sums(scratch, item, Part::kBegin, inputs.positions);
    for (size_t next = item + 1; piece_of(next).begin < (row + 1) * columns; ++next) {
      const int64_t* const more = part_sums(scratch, next, Part::kEnd, inputs.positions);
      for (size_t p = 0; p < inputs.positions; ++p) sums[p] += more[p];
      if (piece_of(next).end >= (row + 1) * columns) break;
    }
    put(inputs.quantized, row, sums, outputs);
  }
}

const uint8_t* CodedMatrix::looked_up(size_t segment) const {
  for (const LookUp& look_up : look_ups_) {
    if (look_up.segment == segment) return look_up.symbols.data();
  }
  LookUp& look_up = look_ups_[next_look_up_];
  next_look_up_ = (next_look_up_ + 1) % kLookUps;
  look_up.symbols.resize(tensor_->cut.segment_symbols);
  look_up.segment = SIZE_MAX;
  if (!tensor_->decode(*tensor_->row_source, segment, look_up.symbols.data())) {
    throw unreadable(segment);
  }
  look_up.segment = segment;
  return look_up.symbols.data();
}

void CodedMatrix::read_row(size_t row, float* values) const {
  const std::lock_guard lock(look_up_mutex_);
  const float step = step_of(row);
  const size_t per_symbol = tensor_->weights_per_symbol();
  const size_t first = first_weight_ + row * rows_.columns;
  const uint8_t* symbols = nullptr;
  size_t held = SIZE_MAX;
  for (size_t column = 0; column < rows_.columns; ++column) {
    const size_t weight = first + column;
    const size_t segment = weight / tensor_->segment_weights();
    if (segment != held) symbols = looked_up(segment);
    held = segment;
    const size_t at = weight - segment * tensor_->segment_weights();
    const uint8_t symbol = symbols[at / per_symbol];
    const uint8_t nibble = static_cast<uint8_t>(at % 2 == 0 ? symbol & 15 : symbol >> 4);
    const uint8_t level = tensor_->nibble_pairs ? nibble : symbol;
    values[column] = step * (static_cast<float>(level) - rows_.zero_point);
  }
}

}  // namespace entrofleet
