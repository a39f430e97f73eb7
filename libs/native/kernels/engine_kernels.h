// The engine's inner loops, compiled once per instruction set. Each body (*.body.h) is written
// once, over the vector type of lanes.h; engine_kernels.<isa>.cc compiles it for one instruction
// set and engine_kernels() picks the table that this machine may use.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/half_floats.h"

namespace entrofleet {

enum class WeightFormat { kFloat32, kFloat16, kBfloat16, kUint8, kUint4 };

constexpr bool is_float(WeightFormat format) {
  return format != WeightFormat::kUint8 && format != WeightFormat::kUint4;
}

// A weight matrix, row-major: floats, or symbols with weight = step * (symbol - zero_point).
struct WeightMatrix {
  WeightFormat format = WeightFormat::kFloat32;
  size_t rows = 0;
  size_t columns = 0;
  // Floats of the format, or one symbol a byte, or nibble pairs over the whole matrix (first in the low nibble).
  const void* data = nullptr;
  float zero_point = 0;
  // One step for the matrix, or one per row. Null for floats.
  const float* steps = nullptr;
  bool step_per_row = false;
};

// outputs[p][r] = dot(weights[r], inputs[p]) + bias[r], for `positions` rows of inputs.
struct MatrixProduct {
  const WeightMatrix* weights;
  const float* bias;  // null: none
  const float* inputs;
  size_t input_stride;
  // Sum of each input row. The zero point leaves the inner loop through it:
  // sum(step * (q - z) * x) = step * (sum(q * x) - z * sum(x)). Unused for floats.
  const float* input_sums;
  size_t positions;
  float* outputs;
  size_t output_stride;
};

// Rows of 4-bit symbols that one call of `multiply` unpacks at a time.
constexpr size_t kUnpackedRows = 8;

// One query group (the heads that share a key-value head) at one position.
struct AttentionStep {
  const float* queries;  // heads x head_size
  size_t heads;
  size_t head_size;
  const float* keys;    // positions x head_size, the visible ones only
  const float* values;  // likewise
  size_t positions;
  float scale;
  float* scores;   // scratch, heads x positions
  float* outputs;  // heads x head_size
};

struct EngineKernels {
  // Computes rows row_begin..row_end-1 of a product. `scratch` holds kUnpackedRows x columns bytes.
  // The result of a row and position does not depend on what else is computed with it.
  void (*multiply)(const MatrixProduct& product, size_t row_begin, size_t row_end,
                   uint8_t* scratch);
  // Dequantizes one row: `columns` floats.
  void (*read_row)(const WeightMatrix& weights, size_t row, float* values);
  void (*attend)(const AttentionStep& step);
  // outputs = input / sqrt(mean(input^2) + epsilon) * weight.
  void (*normalize)(const float* input, const float* weight, size_t count, double epsilon,
                    float* output);
  // gate = gate / (1 + exp(-gate)) * up.
  void (*gate)(float* gate, const float* up, size_t count);
  float (*sum)(const float* values, size_t count);
  // log(sum(exp(values))).
  double (*log_sum_exp)(const float* values, size_t count);
};

// The kernels for an instruction set that this machine has.
const EngineKernels& engine_kernels(Isa isa);

}  // namespace entrofleet
