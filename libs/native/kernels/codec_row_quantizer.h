// Quantization on an int8 grid with one step per row. Results depend on the arguments alone, not on
// the number of threads: sums are kept per row and added in order.
#pragma once

#include <span>
#include <vector>

#include "kernels/codec_quantizer.h"

namespace entrofleet {

constexpr float kRowZeroPoint = 128;
constexpr float kRowMagnitudes = 127;

// Consecutive rows of a matrix and how wide their steps are.
struct RowBlock {
  size_t rows;
  double step_factor;
  // 0: a row's step is step_factor * rms of the row. Else it is step_factor * sqrt(rms of the row *
  // shared_rms).
  double shared_rms;
};

struct RowSteps {
  // They tile the rows.
  std::span<const RowBlock> blocks;
  // Empty, or one number above 0 per row, to which a step is in proportion instead of the row's root
  // mean square; no step is then wider than kWidestStep times that.
  std::span<const float> spreads;
};

// Two levels either side of zero still tell weights apart at this width.
constexpr double kWidestStep = 1.5;

// What steps of each factor would give, before any code.
struct RateCurve {
  std::vector<Histogram> histograms;
  // Sums over the rows; with spreads, each row's over the square of its spread.
  std::vector<double> noise_powers;
  double signal_power = 0;
  // Root mean square of all weights.
  double rms = 0;
};

// The bf16 nearest to a number >= 0, ties to even, but neither 0 nor infinite.
float bf16_step(double value);

// The bf16 step that is `wanted`, or where 127 such steps do not reach the peak magnitude of the
// row, one that does; 1 in a row of zeros.
float row_step(double wanted, double peak);

// All throw CodecFailure NonFiniteWeight with the index of the first NaN or infinity,
// std::bad_alloc, or std::system_error when the system refuses a thread.

// Levels are weights over the row's step, rounded half to even; zero point 128. The step that is
// kept with them is then the one with the least squared error for these levels, sum(level * weight)
// / sum(level^2), rounded to bf16: levels far out are rarer than those nearer to zero, so that
// weights lie nearer to zero than their levels on average.
QuantizedWeights quantize_rows(const RawMatrix& matrix, const RowSteps& steps, size_t threads);

// What quantize_rows would count and lose for each step factor, all rows in one block whose
// shared_rms is 0 or, with `shared`, the root mean square of all weights.
struct CurveOptions {
  std::span<const double> step_factors;
  bool shared;
  std::span<const float> spreads;
};
RateCurve rate_curve(const RawMatrix& matrix, const CurveOptions& options, size_t threads);

// What the feedback quantizer shares: the range of a row, and the grid that the steps give it.
WeightRange measure_row(const CodecKernels& kernels, const RawMatrix& matrix, size_t row);
Grid row_grid(const WeightRange& range, const RawMatrix& matrix, const RowSteps& steps, size_t row);

}  // namespace entrofleet
