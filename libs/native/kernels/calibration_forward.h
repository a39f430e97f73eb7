// The parts of a forward pass over many tokens at once, for calibration: slower than the engine,
// with the same bits on every machine and for every number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/codec_quantizer.h"

namespace entrofleet {

// outputs = inputs (tokens x columns) * transposed weights (rows x columns) + bias, tokens x rows.
struct LinearInput {
  std::span<const float> inputs;
  size_t columns;
  std::span<const float> weights;
  size_t rows;
  std::span<const float> bias;  // empty: none
};

struct LinearOutput {
  OwnedArray<float> outputs{0};
  // Sum of squares of all outputs before the bias.
  double power = 0;
};

LinearOutput linear(const LinearInput& input, size_t threads);

// sums (columns x columns) += transposed inputs * inputs. Only elements on and below the diagonal
// mean anything.
void add_gram(std::span<double> sums, std::span<const float> inputs, size_t columns,
              size_t threads);

struct AttentionInput {
  std::span<const float> queries;  // tokens x (heads * head_size)
  std::span<const float> keys;     // tokens x (key_value_heads * head_size)
  std::span<const float> values;   // likewise
  size_t heads;
  size_t key_value_heads;
  size_t head_size;
  // Tokens of each sequence; sequences follow each other and begin at position 0.
  std::vector<uint32_t> lengths;
  // As in EngineGeometry.
  std::vector<double> rotary_frequencies;
  size_t window;  // 0: none
};

// Rotary embedding and causal softmax attention; tokens x (heads * head_size).
OwnedArray<float> attend_sequences(const AttentionInput& input, size_t threads);

// sums[v] += p and spreads[v] += p (1 - p), with p the softmax over each row of logits.
void add_probabilities(std::span<const float> logits, std::span<double> sums,
                       std::span<double> spreads);

}  // namespace entrofleet
