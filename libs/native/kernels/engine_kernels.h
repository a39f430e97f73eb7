// The engine's inner loops, compiled once per instruction set. Each body (*.body.h) is written
// once, over the vector type of lanes.h; engine_kernels.<isa>.cc compiles it for one instruction
// set and engine_kernels() picks the table that this machine may use.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/activations.h"
#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/half_floats.h"
#include "kernels/window_format.h"

namespace entrofleet {

enum class FloatFormat { kFloat32, kFloat16, kBfloat16 };

constexpr size_t bytes_of(FloatFormat format) { return format == FloatFormat::kFloat32 ? 4 : 2; }

// A weight matrix of floats, row-major.
struct FloatWeights {
  FloatFormat format;
  size_t rows;
  size_t columns;
  const void* data;
};

// outputs[p][r] = dot(weights[r], inputs[p]) + bias[r], for `positions` rows of inputs.
struct FloatProduct {
  const FloatWeights* weights;
  const float* bias;  // null: none
  const float* inputs;
  size_t input_stride;
  size_t positions;
  float* outputs;
  size_t output_stride;
};

// Where one position of activations is put.
struct ActivationRow {
  int8_t* high;
  int8_t* low;
  int16_t* whole;
  float* scale;
  int64_t* sum;
};

// outputs[p][r] = steps[r] * scales[p] * (sum(q * whole) - zero_point * sum(whole)) + bias[r] for
// all positions of the inputs, computed in double from exact integers and rounded once.
struct WindowProduct {
  const WindowView* weights;
  const Activations* inputs;
  float zero_point;
  const float* steps;  // one for the matrix, or one per row
  bool step_per_row;
  const float* bias;  // null: none
  float* outputs;
  size_t output_stride;
  bool accumulate;  // add to outputs instead of replacing them
};

// Rows of symbols as they come from a decoder: row r begins r * row_stride symbols after the first
// and meets the activations from `column_begin` on.
struct SymbolRows {
  const uint8_t* symbols;
  // A symbol a byte, or nibble pairs (low nibble first), where `symbols` begins with the symbol
  // in the low nibble, or, with `odd`, in the high one.
  bool nibble_pairs;
  bool odd;
  size_t row_stride;
  size_t rows;
  size_t column_begin;
  size_t columns;
};

// Up to kWindowRows rows of symbols, a byte each, that become a group.
struct SymbolBlock {
  const uint8_t* symbols;
  size_t row_stride;
  size_t rows;
  size_t columns;
};

// How a group is packed with a codebook. A tuple's key has its symbols' distances from range_low,
// the first in the lowest bits, of 5 bits each in pairs and of 4 bits in tuples of four. One with a
// symbol too far away for that is in neither table.
struct CodebookCodes {
  const Codebook* codebook;
  const uint8_t* near;  // by key: the index, or the escape
  const uint8_t* far;   // by key: the index in the far table, or kFarEscape
  uint8_t range_low;
};

// Positions that a product takes at a time, and columns that it unpacks for them.
constexpr size_t kPanelPositions = 128;
constexpr size_t kPanelGroups = 4;
constexpr size_t kPanelColumns = 512;
constexpr size_t kPanelBytes = kWindowRows * kPanelColumns;
// For `multiply_windows` and `multiply_symbol_rows`, aligned to 64 bytes: panels of symbols and
// 64-bit sums for them.
constexpr size_t kWindowScratchBytes =
    kPanelGroups * (kPanelBytes + kWindowRows * kPanelPositions * sizeof(int64_t));

// What packing has written beside a group's tiles.
struct PackedOutside {
  bool fits;  // false: the room was too small, and the rest means nothing
  uint32_t count;
  size_t bytes;
};

struct EngineKernels {
  // Computes rows row_begin..row_end-1 of a product. The result of a row and position does not
  // depend on what else is computed with it, nor on the format of equal weights.
  void (*multiply)(const FloatProduct& product, size_t row_begin, size_t row_end);
  // Converts one row: `columns` floats.
  void (*read_row)(const FloatWeights& weights, size_t row, float* values);
  // Fills the chunk's sums.
  void (*attend)(const AttentionChunk& chunk);
  // Adds a row of sums over later positions to a row of sums; `stride` is of the outputs.
  void (*merge_attention)(const AttentionSums& from, size_t from_row, const AttentionSums& to,
                          size_t to_row, size_t stride);
  // Stores one position's key and value of one head.
  void (*store_key_value)(const KeyValueSlot& slot, const float* key, const float* value);
  // outputs = input / sqrt(mean(input^2) + epsilon) * weight.
  void (*normalize)(const float* input, const float* weight, size_t count, double epsilon,
                    float* output);
  // gate = gate / (1 + exp(-gate)) * up.
  void (*gate)(float* gate, const float* up, size_t count);
  // log(sum(exp(values))).
  double (*log_sum_exp)(const float* values, size_t count);
  // Quantizes one position of `columns` values and pads it with zeros to `stride`.
  void (*quantize_activations)(const float* input, size_t columns, size_t stride,
                               const ActivationRow& output);
  // Computes the rows of groups group_begin..group_end-1 of a product. `scratch` holds
  // kWindowScratchBytes. The same bits come out on every instruction set, whatever else is
  // computed with them.
  void (*multiply_windows)(const WindowProduct& product, size_t group_begin, size_t group_end,
                           uint8_t* scratch);
  // sums[r * positions + p] = sum(q * whole) over the rows' columns. `scratch` likewise.
  void (*multiply_symbol_rows)(const SymbolRows& rows, const Activations& inputs,
                               uint8_t* scratch, int64_t* sums);
  // Writes the group's tiles (tiles_across(columns) * tile_bytes(bits)), and its exceptions or
  // literals to `outside` (even address), of at most `room` bytes.
  PackedOutside (*pack_group)(const SymbolBlock& block, Window window, unsigned symbol_bits,
                              uint8_t* tiles, uint8_t* outside, size_t room);
  // The same with a codebook.
  PackedOutside (*pack_coded_group)(const SymbolBlock& block, const CodebookCodes& codes,
                                    uint8_t* tiles, uint8_t* outside, size_t room);
  // Whether products with escapes are as fast as memory, so that matrices are to have them.
  bool has_fast_escapes;
  // Writes `count` symbols of a row of a group, from column 0 on.
  void (*unpack_row)(const WindowGroup& group, unsigned symbol_bits, size_t row, size_t count,
                     uint8_t* symbols);
};

// The kernels for an instruction set that this machine has.
const EngineKernels& engine_kernels(Isa isa);

}  // namespace entrofleet
