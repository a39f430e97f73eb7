#include "kernels/feedback_quantizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/calibration_kernels.h"
#include "kernels/codec_entropy.h"
#include "kernels/codec_weight_blocks.h"
#include "kernels/gram_factor.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

// Rows that are quantized side by side.
constexpr size_t kTileRows = 32;
// Of each row of a tile a column has its error and its level.
constexpr size_t kTracked = 2 * kTileRows;
// 2 ln 2 / 12.
constexpr double kSlope = 0.11552453009332422;
// Bits per weight below which most levels are -1, 0 and 1, so that dropping to 0 saves much.
constexpr double kPricedEntropy = 2;
constexpr int kLeastLevel = -static_cast<int>(kRowMagnitudes);
constexpr int kGreatestLevel = static_cast<int>(kRowMagnitudes);

struct PlannedRows {
  std::vector<float> steps;
  // Ideal code length of each symbol.
  std::array<float, 256> bits;
  // 1 where the price of bits counts, else 0.
  double bit_value = 0;
  double signal_power = 0;
};

size_t rows_per_chunk(const RawMatrix& matrix) {
  return std::max<size_t>(1, kChunkWeights / std::max<size_t>(1, matrix.columns));
}

// Half a count more for each symbol, so that the rarest has a length too.
std::array<float, 256> code_lengths(const Histogram& counts) {
  double total = 0;
  for (const uint64_t count : counts) total += static_cast<double>(2 * count + 1);
  std::array<float, 256> bits;
  for (size_t symbol = 0; symbol < bits.size(); ++symbol) {
    bits[symbol] = static_cast<float>(log2_of(total) -
                                      log2_of(static_cast<double>(2 * counts[symbol] + 1)));
  }
  return bits;
}

PlannedRows plan_rows(const RawMatrix& matrix, const RowSteps& steps, ThreadTeam& team) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t chunk_rows = rows_per_chunk(matrix);
  const size_t chunks = chunks_of(matrix.rows, chunk_rows);
  PlannedRows planned;
  planned.steps.resize(matrix.rows);
  std::vector<double> powers(matrix.rows);
  std::vector<uint8_t> bad_chunks(chunks);
  std::vector<Histogram> counts(static_cast<size_t>(team.size()));
  team.share(chunks, [&](size_t chunk, int member) {
    const size_t end = std::min((chunk + 1) * chunk_rows, matrix.rows);
    uint8_t symbols[kBlockWeights];
    SumLanes ignored;
    for (size_t row = chunk * chunk_rows; row < end; ++row) {
      const WeightRange range = measure_row(kernels, matrix, row);
      if (!range.finite) {
        bad_chunks[chunk] = 1;
        return;
      }
      const Grid grid = row_grid(range, matrix, steps, row);
      planned.steps[row] = grid.step;
      powers[row] = range.squares.total();
      const size_t begin = row * matrix.columns;
      for_each_block(kernels, matrix.bytes, matrix.type, begin, begin + matrix.columns,
                     [&](const float* block, size_t, size_t size) {
                       kernels.quantize(block, size, grid, symbols, &ignored);
                       kernels.count_bytes(symbols, size,
                                           counts[static_cast<size_t>(member)].data());
                     });
    }
  });
  require_finite(kernels, {matrix.bytes, matrix.type, matrix.rows * matrix.columns}, bad_chunks,
                 chunk_rows * matrix.columns);
  Histogram whole{};
  add_counts(counts, &whole);
  planned.bits = code_lengths(whole);
  planned.bit_value = entropy_bits(whole.data(), whole.size()) < kPricedEntropy ? 1 : 0;
  for (const double power : powers) planned.signal_power += power;
  return planned;
}

// Scratch of one thread. Column k of the order is at k * kTileRows or k * kTracked.
struct Tile {
  explicit Tile(size_t columns) : weights(columns * kTileRows), tracked(columns * kTracked) {}

  std::vector<float> weights;
  // Errors of the tile's rows, then their levels.
  std::vector<float> tracked;
  float steps[kTileRows] = {};
  double products[kTileRows] = {};
  double squares[kTileRows] = {};
};

// Reads `rows` rows from `first` on, transposed; rows that are not there are zeros with step 1.
void load_tile(const CodecKernels& kernels, const RawMatrix& matrix,
               std::span<const uint32_t> order, const PlannedRows& planned, size_t first,
               size_t rows, std::vector<float>& row_weights, Tile& tile) {
  std::fill(tile.weights.begin(), tile.weights.end(), 0.0f);
  for (size_t r = 0; r < kTileRows; ++r) {
    tile.steps[r] = r < rows ? planned.steps[first + r] : 1;
    tile.products[r] = 0;
    tile.squares[r] = 0;
    if (r >= rows) continue;
    const size_t begin = (first + r) * matrix.columns * element_size(matrix.type);
    kernels.convert(matrix.bytes + begin, matrix.type, matrix.columns, row_weights.data());
    for (size_t k = 0; k < order.size(); ++k) {
      tile.weights[k * kTileRows + r] = row_weights[order[k]];
    }
  }
}

float choose_level(float place, float bit_price, const std::array<float, 256>& bits) {
  // Beyond the grid, and for what is no number, the end of the grid is as good as any.
  const float bounded = place > -200.0f ? std::min(place, 200.0f) : -200.0f;
  const int below =
      std::clamp(static_cast<int>(std::floor(bounded)), kLeastLevel, kGreatestLevel - 1);
  const size_t symbol = static_cast<size_t>(below + static_cast<int>(kRowZeroPoint));
  const float under = bounded - static_cast<float>(below);
  const float over = under - 1;
  const float cost_below = under * under + bit_price * bits[symbol];
  const float cost_above = over * over + bit_price * bits[symbol + 1];
  return static_cast<float>(cost_below <= cost_above ? below : below + 1);
}

void quantize_tile(const FeedbackFactor& factor, const std::array<float, 256>& bits,
                   double priced_pivot, Tile& tile) {
  const CalibrationKernels& kernels = calibration_kernels(active_isa());
  for (size_t k = 0; k < factor.order.size(); ++k) {
    // What the columns before hand on: of their errors, and of their levels (for the fit).
    float handed[kTracked] = {};
    kernels.add_products({factor.feedback.data() + feedback_row(k), 0, 1, tile.tracked.data(),
                          kTracked, handed, kTracked, 1, k, kTracked});
    const double pivot = factor.pivots[k];
    const float bit_price = static_cast<float>(kSlope * priced_pivot / pivot);
    const float* const weights = tile.weights.data() + k * kTileRows;
    float* const tracked = tile.tracked.data() + k * kTracked;
    for (size_t r = 0; r < kTileRows; ++r) {
      const float wanted = weights[r] + handed[r];
      const float level = choose_level(wanted / tile.steps[r], bit_price, bits);
      tracked[r] = weights[r] - level * tile.steps[r];
      tracked[kTileRows + r] = level;
      const double weighted_level = level + handed[kTileRows + r];
      tile.products[r] += pivot * weighted_level * (wanted - level * tile.steps[r]);
      tile.squares[r] += pivot * weighted_level * weighted_level;
    }
  }
}

// Writes a row's symbols in the matrix's order and gives the squared error that is left.
double store_row(const Tile& tile, size_t r, std::span<const uint32_t> order, float step,
                 uint8_t* symbols) {
  double noise = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    const float level = tile.tracked[k * kTracked + kTileRows + r];
    const double error = static_cast<double>(tile.weights[k * kTileRows + r]) -
                         static_cast<double>(step) * level;
    noise += error * error;
    symbols[order[k]] = static_cast<uint8_t>(static_cast<int>(level + kRowZeroPoint));
  }
  return noise;
}

float fitted_step(const Tile& tile, size_t r) {
  const double step = tile.steps[r];
  if (!(tile.squares[r] > 0)) return tile.steps[r];
  const double fitted = step + tile.products[r] / tile.squares[r];
  return fitted > 0 ? bf16_step(fitted) : tile.steps[r];
}

}  // namespace

QuantizedWeights quantize_with_feedback(const RawMatrix& matrix, const RowSteps& steps,
                                        const FeedbackFactor& factor, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t tiles = chunks_of(matrix.rows, kTileRows);
  ThreadTeam team(useful_threads(threads, tiles));
  const PlannedRows planned = plan_rows(matrix, steps, team);
  double mean_pivot = 0;
  for (const double pivot : factor.pivots) mean_pivot += pivot;
  mean_pivot /= static_cast<double>(std::max<size_t>(1, factor.pivots.size()));
  QuantizedWeights result;
  result.zero_point = kRowZeroPoint;
  result.steps = OwnedArray<float>(matrix.rows);
  result.symbols = OwnedArray<uint8_t>(matrix.rows * matrix.columns);
  result.signal_power = planned.signal_power;
  std::vector<double> noise(matrix.rows);
  std::vector<Histogram> counts(static_cast<size_t>(team.size()));
  std::vector<Tile> scratch(static_cast<size_t>(team.size()), Tile(matrix.columns));
  std::vector<std::vector<float>> row_weights(static_cast<size_t>(team.size()),
                                              std::vector<float>(matrix.columns));
  team.share(tiles, [&](size_t index, int member) {
    Tile& tile = scratch[static_cast<size_t>(member)];
    const size_t first = index * kTileRows;
    const size_t rows = std::min(kTileRows, matrix.rows - first);
    load_tile(kernels, matrix, factor.order, planned, first, rows,
              row_weights[static_cast<size_t>(member)], tile);
    quantize_tile(factor, planned.bits, planned.bit_value * mean_pivot, tile);
    for (size_t r = 0; r < rows; ++r) {
      const float step = fitted_step(tile, r);
      result.steps.elements[first + r] = step;
      uint8_t* const symbols =
          result.symbols.elements.get() + (first + r) * matrix.columns;
      noise[first + r] = store_row(tile, r, factor.order, step, symbols);
      kernels.count_bytes(symbols, matrix.columns, counts[static_cast<size_t>(member)].data());
    }
  });
  add_counts(counts, &result.histogram);
  for (const double power : noise) result.noise_power += power;
  result.entropy_bits = entropy_bits(result.histogram.data(), result.histogram.size());
  return result;
}

}  // namespace entrofleet
