#include "kernels/codec_row_quantizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/codec_entropy.h"
#include "kernels/codec_weight_blocks.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

float bf16_from_bits(uint32_t high) {
  const uint32_t bits = high << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

uint32_t bf16_step_bits(double value) {
  constexpr uint32_t kGreatestFinite = 0x7f7f;
  if (value >= static_cast<double>(bf16_from_bits(kGreatestFinite))) return kGreatestFinite;
  const float rounded = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  const uint32_t high = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return std::clamp<uint32_t>(high, 1, kGreatestFinite);
}

const RowBlock& block_of(std::span<const RowBlock> blocks, size_t row) {
  size_t block = 0;
  while (row >= blocks[block].rows) row -= blocks[block++].rows;
  return blocks[block];
}

size_t rows_per_chunk(const RawMatrix& matrix) {
  return std::max<size_t>(1, kChunkWeights / std::max<size_t>(1, matrix.columns));
}

void require_finite_rows(const CodecKernels& kernels, const RawMatrix& matrix,
                         const std::vector<uint8_t>& bad_chunks) {
  require_finite(kernels, {matrix.bytes, matrix.type, matrix.rows * matrix.columns}, bad_chunks,
                 rows_per_chunk(matrix) * matrix.columns);
}

double root_mean_square(double squares, size_t count) {
  return std::sqrt(squares / static_cast<double>(count));
}

// A row's step after its levels are known, and the squared error that is left with it.
struct FittedStep {
  float step;
  double noise;
};

FittedStep fitted_step(const LevelFit& fit, double squares, float step) {
  const double products = fit.products.total();
  const double level_squares = fit.squares.total();
  const bool has_levels = level_squares > 0 && products > 0;
  const float fitted = has_levels ? bf16_step(products / level_squares) : step;
  const double width = fitted;
  const double noise = squares - 2 * width * products + width * width * level_squares;
  // Where all is exact the difference need not round to 0.
  return {fitted, std::max(0.0, noise)};
}

// The ranges of all rows; throws when a weight is not finite.
std::vector<WeightRange> measure_rows(const CodecKernels& kernels, ThreadTeam& team,
                                      const RawMatrix& matrix) {
  std::vector<WeightRange> ranges(matrix.rows);
  const size_t chunk_rows = rows_per_chunk(matrix);
  std::vector<uint8_t> bad_chunks(chunks_of(matrix.rows, chunk_rows));
  team.share(bad_chunks.size(), [&](size_t chunk, int) {
    const size_t end = std::min((chunk + 1) * chunk_rows, matrix.rows);
    for (size_t row = chunk * chunk_rows; row < end; ++row) {
      ranges[row] = measure_row(kernels, matrix, row);
      if (!ranges[row].finite) bad_chunks[chunk] = 1;
    }
  });
  require_finite_rows(kernels, matrix, bad_chunks);
  return ranges;
}

// `spread` is 0 without spreads.
Grid grid_of(const WeightRange& range, size_t columns, const RowBlock& block, double spread) {
  const double rms = root_mean_square(range.squares.total(), columns);
  const double own = block.shared_rms == 0 ? rms : std::sqrt(rms * block.shared_rms);
  const double wanted = spread == 0 ? block.step_factor * own
                                    : std::min(block.step_factor * spread, kWidestStep * rms);
  const double peak = std::max(-static_cast<double>(range.least),
                               static_cast<double>(range.greatest));
  return {row_step(wanted, peak), kRowZeroPoint, kRowZeroPoint - kRowMagnitudes,
          kRowZeroPoint + kRowMagnitudes};
}

double spread_of(std::span<const float> spreads, size_t row) {
  return spreads.empty() ? 0 : static_cast<double>(spreads[row]);
}

}  // namespace

WeightRange measure_row(const CodecKernels& kernels, const RawMatrix& matrix, size_t row) {
  WeightRange range;
  const size_t begin = row * matrix.columns;
  for_each_block(kernels, matrix.bytes, matrix.type, begin, begin + matrix.columns,
                 [&](const float* block, size_t, size_t size) {
                   kernels.measure(block, size, &range);
                 });
  return range;
}

Grid row_grid(const WeightRange& range, const RawMatrix& matrix, const RowSteps& steps,
              size_t row) {
  return grid_of(range, matrix.columns, block_of(steps.blocks, row),
                 spread_of(steps.spreads, row));
}

float bf16_step(double value) { return bf16_from_bits(bf16_step_bits(value)); }

float row_step(double wanted, double peak) {
  if (peak == 0) return 1;
  uint32_t bits = bf16_step_bits(std::max(wanted, peak / kRowMagnitudes));
  while (static_cast<double>(bf16_from_bits(bits)) * kRowMagnitudes < peak) ++bits;
  return bf16_from_bits(bits);
}

QuantizedWeights quantize_rows(const RawMatrix& matrix, const RowSteps& steps, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t chunk_rows = rows_per_chunk(matrix);
  const size_t chunks = chunks_of(matrix.rows, chunk_rows);
  ThreadTeam team(useful_threads(threads, chunks));
  QuantizedWeights result;
  result.zero_point = kRowZeroPoint;
  result.steps = OwnedArray<float>(matrix.rows);
  result.symbols = OwnedArray<uint8_t>(matrix.rows * matrix.columns);
  std::vector<double> signal(matrix.rows);
  std::vector<double> noise(matrix.rows);
  std::vector<uint8_t> bad_chunks(chunks);
  std::vector<Histogram> counts(static_cast<size_t>(team.size()));
  team.share(chunks, [&](size_t chunk, int member) {
    const size_t end = std::min((chunk + 1) * chunk_rows, matrix.rows);
    uint64_t* const counted = counts[static_cast<size_t>(member)].data();
    for (size_t row = chunk * chunk_rows; row < end; ++row) {
      const WeightRange range = measure_row(kernels, matrix, row);
      if (!range.finite) {
        bad_chunks[chunk] = 1;
        return;
      }
      const Grid grid = row_grid(range, matrix, steps, row);
      const size_t begin = row * matrix.columns;
      LevelFit fit;
      for_each_block(kernels, matrix.bytes, matrix.type, begin, begin + matrix.columns,
                     [&](const float* block, size_t first, size_t size) {
                       uint8_t* output = result.symbols.elements.get() + first;
                       kernels.quantize_to_fit(block, size, grid, output, &fit);
                       kernels.count_bytes(output, size, counted);
                     });
      signal[row] = range.squares.total();
      const FittedStep fitted = fitted_step(fit, signal[row], grid.step);
      result.steps.elements[row] = fitted.step;
      noise[row] = fitted.noise;
    }
  });
  require_finite_rows(kernels, matrix, bad_chunks);
  add_counts(counts, &result.histogram);
  for (size_t row = 0; row < matrix.rows; ++row) {
    result.signal_power += signal[row];
    result.noise_power += noise[row];
  }
  result.entropy_bits = entropy_bits(result.histogram.data(), result.histogram.size());
  return result;
}

RateCurve rate_curve(const RawMatrix& matrix, const CurveOptions& options, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t chunk_rows = rows_per_chunk(matrix);
  const size_t chunks = chunks_of(matrix.rows, chunk_rows);
  const size_t factors = options.step_factors.size();
  ThreadTeam team(useful_threads(threads, chunks));
  const std::vector<WeightRange> ranges = measure_rows(kernels, team, matrix);
  RateCurve curve;
  // Powers of a row count by its spread.
  const auto scale = [&](size_t row) {
    const double spread = spread_of(options.spreads, row);
    return spread == 0 ? 1 : 1 / (spread * spread);
  };
  double squares = 0;
  for (size_t row = 0; row < matrix.rows; ++row) {
    squares += ranges[row].squares.total();
    curve.signal_power += ranges[row].squares.total() * scale(row);
  }
  const size_t weights = matrix.rows * matrix.columns;
  curve.rms = weights == 0 ? 0 : root_mean_square(squares, weights);
  const double shared_rms = options.shared ? curve.rms : 0;
  std::vector<std::vector<Histogram>> counts(static_cast<size_t>(team.size()),
                                             std::vector<Histogram>(factors));
  std::vector<double> noise(matrix.rows * factors);
  team.share(chunks, [&](size_t chunk, int member) {
    const size_t end = std::min((chunk + 1) * chunk_rows, matrix.rows);
    uint8_t symbols[kBlockWeights];
    std::vector<Histogram>& counted = counts[static_cast<size_t>(member)];
    std::vector<LevelFit> fits(factors);
    for (size_t row = chunk * chunk_rows; row < end; ++row) {
      std::fill(fits.begin(), fits.end(), LevelFit{});
      const auto grid = [&](size_t i) {
        const RowBlock block{1, options.step_factors[i], shared_rms};
        return grid_of(ranges[row], matrix.columns, block, spread_of(options.spreads, row));
      };
      const size_t begin = row * matrix.columns;
      for_each_block(kernels, matrix.bytes, matrix.type, begin, begin + matrix.columns,
                     [&](const float* block, size_t, size_t size) {
                       for (size_t i = 0; i < factors; ++i) {
                         kernels.quantize_to_fit(block, size, grid(i), symbols, &fits[i]);
                         kernels.count_bytes(symbols, size, counted[i].data());
                       }
                     });
      for (size_t i = 0; i < factors; ++i) {
        const double squares = ranges[row].squares.total();
        noise[row * factors + i] = fitted_step(fits[i], squares, grid(i).step).noise;
      }
    }
  });
  curve.histograms.resize(factors);
  curve.noise_powers.resize(factors);
  for (size_t i = 0; i < factors; ++i) {
    for (const std::vector<Histogram>& counted : counts) {
      add_counts({&counted[i], 1}, &curve.histograms[i]);
    }
    for (size_t row = 0; row < matrix.rows; ++row) {
      curve.noise_powers[i] += noise[row * factors + i] * scale(row);
    }
  }
  return curve;
}

}  // namespace entrofleet
