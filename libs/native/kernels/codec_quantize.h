// Quantization of one tensor: weight = step * (symbol - zero point).
//
// Results do not depend on the number of threads or the instruction set: sums are made over fixed
// blocks in a fixed order, and rounding is to nearest, ties to even, of the float quotient.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/codec_float.h"
#include "kernels/thread_team.h"

namespace entrofleet {

using Histogram = std::array<uint64_t, 256>;

struct WeightsView {
  const uint8_t* bytes;
  FloatType type;
  size_t count;
};

struct QuantizedStatistics {
  Histogram histogram{};  // of output bytes: symbols, or nibble pairs
  double signal_power = 0;
  double noise_power = 0;
  double entropy_bits_per_weight = 0;
};

struct AffineGrid {
  float step;
  int zero_point;
};

// EntroLLM section 2.1: unsigned when all weights have one sign (the step is negative when they
// are all negative), else asymmetric: step = (max - min) / (2^bits - 1), zero = round(-min / step).
// Throws CodecFailure NonFiniteWeight.
AffineGrid choose_affine_grid(WeightsView weights, int bits, ThreadTeam& team);

// Writes count symbols, or (count + 1) / 2 nibble pairs for 4 bits, to `symbols`.
QuantizedStatistics quantize_affine(WeightsView weights, AffineGrid grid, int bits,
                                    ThreadTeam& team, uint8_t* symbols);

constexpr int kRowZeroPoint = 128;

// One step per row: step_factor x rms of the row, at least so large that 127 steps reach the
// largest weight, as bf16. A row of zeros has step 1.
// Throws CodecFailure NonFiniteWeight.
QuantizedStatistics quantize_rows(WeightsView weights, size_t columns, double step_factor,
                                  ThreadTeam& team, uint8_t* symbols, float* steps);

// The histograms quantize_rows would give for each factor over every row_stride-th row.
std::vector<Histogram> histogram_rows(WeightsView weights, size_t columns,
                                      std::span<const double> step_factors, size_t row_stride,
                                      ThreadTeam& team);

// Counts of each byte value.
Histogram histogram_bytes(std::span<const uint8_t> bytes, ThreadTeam& team);

double entropy_bits(std::span<const uint64_t> counts);

// Throws CodecFailure NonFiniteWeight.
void weights_to_float(WeightsView weights, ThreadTeam& team, float* out);

}  // namespace entrofleet
