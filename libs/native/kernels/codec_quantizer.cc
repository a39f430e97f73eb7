#include "kernels/codec_quantizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "kernels/codec_entropy.h"
#include "kernels/codec_failure.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

// Weights that are converted at once and stay in the first-level cache. A multiple of kSumLanes,
// so that partial sums continue from block to block, and even, so that nibble pairs do not cross.
constexpr size_t kBlockWeights = 2048;
// Weights of one work item.
constexpr size_t kChunkWeights = 32 * kBlockWeights;
constexpr float kRowZeroPoint = 128;
constexpr float kRowMagnitudes = 127;

size_t chunks_of(size_t count, size_t chunk) { return count / chunk + (count % chunk != 0); }

// Calls visit(weights, first, size) for converted blocks of [begin, end).
template <typename Visit>
void for_each_block(const CodecKernels& kernels, const uint8_t* bytes, FloatType type,
                    size_t begin, size_t end, const Visit& visit) {
  alignas(64) float weights[kBlockWeights];
  for (size_t first = begin; first < end; first += kBlockWeights) {
    const size_t size = std::min(kBlockWeights, end - first);
    kernels.convert(bytes + first * element_size(type), type, size, weights);
    visit(weights, first, size);
  }
}

[[noreturn]] void throw_non_finite(const CodecKernels& kernels, const RawWeights& weights,
                                   size_t begin) {
  size_t index = begin;
  float value = 0;
  for (; index < weights.count; ++index) {
    kernels.convert(weights.bytes + index * element_size(weights.type), weights.type, 1, &value);
    if (!std::isfinite(value)) break;
  }
  throw CodecFailure{"NonFiniteWeight",
                     "weight " + std::to_string(index) + " is " +
                         (std::isnan(value) ? "NaN" : value > 0 ? "infinite" : "-infinite"),
                     index};
}

WeightRange measure_all(const CodecKernels& kernels, ThreadTeam& team, const RawWeights& weights,
                        double* squares) {
  std::vector<WeightRange> ranges(chunks_of(weights.count, kChunkWeights));
  team.share(ranges.size(), [&](size_t chunk, int) {
    const size_t begin = chunk * kChunkWeights;
    const size_t end = std::min(begin + kChunkWeights, weights.count);
    for_each_block(kernels, weights.bytes, weights.type, begin, end,
                   [&](const float* block, size_t, size_t size) {
                     kernels.measure(block, size, &ranges[chunk]);
                   });
  });
  WeightRange whole;
  *squares = 0;
  for (size_t chunk = 0; chunk < ranges.size(); ++chunk) {
    const WeightRange& range = ranges[chunk];
    if (!range.finite) throw_non_finite(kernels, weights, chunk * kChunkWeights);
    whole.least = std::min(whole.least, range.least);
    whole.greatest = std::max(whole.greatest, range.greatest);
    *squares += range.squares.total();
  }
  return whole;
}

Grid affine_grid(const WeightRange& range, int bits) {
  const float symbols = static_cast<float>((1 << bits) - 1);
  const double least = range.least;
  const double greatest = range.greatest;
  if (least == 0 && greatest == 0) return {1, 0, 0, symbols};
  const float step = std::max(static_cast<float>((greatest - least) / symbols),
                              std::numeric_limits<float>::denorm_min());
  if (greatest <= 0) return {-step, 0, 0, symbols};
  // 0 - least, since -least would be -0 for weights >= 0.
  const float zero_point = static_cast<float>(std::nearbyint((0 - least) / step));
  return {step, std::clamp(zero_point, 0.0f, symbols), 0, symbols};
}

float bf16_from_bits(uint32_t high) {
  const uint32_t bits = high << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// The bf16 nearest to a number >= 0, ties to even, but neither 0 nor infinite.
uint32_t bf16_step_bits(double value) {
  constexpr uint32_t kGreatestFinite = 0x7f7f;
  if (value >= static_cast<double>(bf16_from_bits(kGreatestFinite))) return kGreatestFinite;
  const float rounded = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  const uint32_t high = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return std::clamp<uint32_t>(high, 1, kGreatestFinite);
}

Grid row_grid(const WeightRange& range, size_t columns, double step_factor) {
  const double magnitude = std::max(-static_cast<double>(range.least),
                                    static_cast<double>(range.greatest));
  const auto grid = [](float step) -> Grid {
    return {step, kRowZeroPoint, kRowZeroPoint - kRowMagnitudes, kRowZeroPoint + kRowMagnitudes};
  };
  if (magnitude == 0) return grid(1);
  const double rms = std::sqrt(range.squares.total() / static_cast<double>(columns));
  uint32_t bits = bf16_step_bits(std::max(step_factor * rms, magnitude / kRowMagnitudes));
  while (static_cast<double>(bf16_from_bits(bits)) * kRowMagnitudes < magnitude) ++bits;
  return grid(bf16_from_bits(bits));
}

WeightRange measure_row(const CodecKernels& kernels, const RawMatrix& matrix, size_t row) {
  WeightRange range;
  const size_t begin = row * matrix.columns;
  for_each_block(kernels, matrix.bytes, matrix.type, begin, begin + matrix.columns,
                 [&](const float* block, size_t, size_t size) {
                   kernels.measure(block, size, &range);
                 });
  return range;
}

size_t rows_per_chunk(const RawMatrix& matrix) {
  return std::max<size_t>(1, kChunkWeights / std::max<size_t>(1, matrix.columns));
}

void require_finite(const CodecKernels& kernels, const RawMatrix& matrix,
                    const std::vector<uint8_t>& bad_chunks, size_t chunk_rows) {
  const auto bad = std::find(bad_chunks.begin(), bad_chunks.end(), 1);
  if (bad == bad_chunks.end()) return;
  const size_t chunk = static_cast<size_t>(bad - bad_chunks.begin());
  throw_non_finite(kernels, {matrix.bytes, matrix.type, matrix.rows * matrix.columns},
                   chunk * chunk_rows * matrix.columns);
}

void add_counts(std::span<const Histogram> parts, Histogram* sum) {
  for (const Histogram& part : parts) {
    for (size_t value = 0; value < part.size(); ++value) (*sum)[value] += part[value];
  }
}

double sum_of(const std::vector<SumLanes>& parts) {
  double sum = 0;
  for (const SumLanes& part : parts) sum += part.total();
  return sum;
}

// Of the nibbles of the pairs, without the one that pads an odd count.
double nibble_entropy(const Histogram& pairs, size_t count) {
  uint64_t counts[16] = {};
  for (size_t pair = 0; pair < pairs.size(); ++pair) {
    counts[pair & 15] += pairs[pair];
    counts[pair >> 4] += pairs[pair];
  }
  counts[0] -= count % 2;
  return entropy_bits(counts, 16);
}

}  // namespace

int useful_threads(size_t threads, size_t items) {
  return static_cast<int>(std::max<size_t>(1, std::min(threads, items)));
}

QuantizedWeights quantize_affine(const RawWeights& weights, int bits, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t chunks = chunks_of(weights.count, kChunkWeights);
  ThreadTeam team(useful_threads(threads, chunks));
  QuantizedWeights result;
  const WeightRange range = measure_all(kernels, team, weights, &result.signal_power);
  const Grid grid = affine_grid(range, bits);
  const bool pairs = bits == 4;
  result.zero_point = grid.zero_point;
  result.steps = OwnedArray<float>(1);
  result.steps.elements[0] = grid.step;
  result.symbols = OwnedArray<uint8_t>(pairs ? weights.count / 2 + weights.count % 2
                                             : weights.count);
  std::vector<SumLanes> noise(chunks);
  std::vector<Histogram> counts(static_cast<size_t>(team.size()));
  team.share(chunks, [&](size_t chunk, int member) {
    const size_t begin = chunk * kChunkWeights;
    const size_t end = std::min(begin + kChunkWeights, weights.count);
    uint64_t* const counted = counts[static_cast<size_t>(member)].data();
    uint8_t nibbles[kBlockWeights];
    for_each_block(kernels, weights.bytes, weights.type, begin, end,
                   [&](const float* block, size_t first, size_t size) {
                     uint8_t* output = result.symbols.elements.get() + (pairs ? first / 2 : first);
                     kernels.quantize(block, size, grid, pairs ? nibbles : output, &noise[chunk]);
                     if (pairs) kernels.pack_nibbles(nibbles, size, output);
                     kernels.count_bytes(output, pairs ? size / 2 + size % 2 : size, counted);
                   });
  });
  add_counts(counts, &result.histogram);
  result.noise_power = sum_of(noise);
  result.entropy_bits = pairs ? nibble_entropy(result.histogram, weights.count)
                              : entropy_bits(result.histogram.data(), result.histogram.size());
  return result;
}

QuantizedWeights quantize_rows(const RawMatrix& matrix, double step_factor, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t chunk_rows = rows_per_chunk(matrix);
  const size_t chunks = chunks_of(matrix.rows, chunk_rows);
  ThreadTeam team(useful_threads(threads, chunks));
  QuantizedWeights result;
  result.zero_point = kRowZeroPoint;
  result.steps = OwnedArray<float>(matrix.rows);
  result.symbols = OwnedArray<uint8_t>(matrix.rows * matrix.columns);
  std::vector<SumLanes> signal(matrix.rows);
  std::vector<SumLanes> noise(matrix.rows);
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
      const Grid grid = row_grid(range, matrix.columns, step_factor);
      result.steps.elements[row] = grid.step;
      signal[row] = range.squares;
      const size_t begin = row * matrix.columns;
      for_each_block(kernels, matrix.bytes, matrix.type, begin, begin + matrix.columns,
                     [&](const float* block, size_t first, size_t size) {
                       uint8_t* output = result.symbols.elements.get() + first;
                       kernels.quantize(block, size, grid, output, &noise[row]);
                       kernels.count_bytes(output, size, counted);
                     });
    }
  });
  require_finite(kernels, matrix, bad_chunks, chunk_rows);
  add_counts(counts, &result.histogram);
  result.signal_power = sum_of(signal);
  result.noise_power = sum_of(noise);
  result.entropy_bits = entropy_bits(result.histogram.data(), result.histogram.size());
  return result;
}

std::vector<Histogram> histogram_rows(const RawMatrix& matrix,
                                      std::span<const double> step_factors, size_t row_stride,
                                      size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t sampled = chunks_of(matrix.rows, row_stride);
  const size_t chunk_rows = rows_per_chunk(matrix);
  const size_t chunks = chunks_of(sampled, chunk_rows);
  ThreadTeam team(useful_threads(threads, chunks));
  std::vector<std::vector<Histogram>> counts(static_cast<size_t>(team.size()),
                                             std::vector<Histogram>(step_factors.size()));
  std::vector<uint8_t> bad_chunks(chunks);
  team.share(chunks, [&](size_t chunk, int member) {
    const size_t end = std::min((chunk + 1) * chunk_rows, sampled);
    uint8_t symbols[kBlockWeights];
    SumLanes ignored;
    std::vector<Histogram>& counted = counts[static_cast<size_t>(member)];
    for (size_t sample = chunk * chunk_rows; sample < end; ++sample) {
      const size_t row = sample * row_stride;
      const WeightRange range = measure_row(kernels, matrix, row);
      if (!range.finite) {
        bad_chunks[chunk] = 1;
        return;
      }
      const size_t begin = row * matrix.columns;
      for_each_block(kernels, matrix.bytes, matrix.type, begin, begin + matrix.columns,
                     [&](const float* block, size_t, size_t size) {
                       for (size_t i = 0; i < step_factors.size(); ++i) {
                         const Grid grid = row_grid(range, matrix.columns, step_factors[i]);
                         kernels.quantize(block, size, grid, symbols, &ignored);
                         kernels.count_bytes(symbols, size, counted[i].data());
                       }
                     });
    }
  });
  // Rows between the sampled ones may hold an earlier one: any is as good a reason.
  require_finite(kernels, matrix, bad_chunks, chunk_rows * row_stride);
  std::vector<Histogram> result(step_factors.size());
  for (const std::vector<Histogram>& counted : counts) {
    for (size_t i = 0; i < result.size(); ++i) add_counts({&counted[i], 1}, &result[i]);
  }
  return result;
}

OwnedArray<float> to_float32(const RawWeights& weights, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  OwnedArray<float> result(weights.count);
  const size_t chunks = chunks_of(weights.count, kChunkWeights);
  ThreadTeam team(useful_threads(threads, chunks));
  std::vector<uint8_t> bad_chunks(chunks);
  team.share(chunks, [&](size_t chunk, int) {
    const size_t end = std::min((chunk + 1) * kChunkWeights, weights.count);
    WeightRange range;
    for (size_t first = chunk * kChunkWeights; first < end; first += kBlockWeights) {
      const size_t size = std::min(kBlockWeights, end - first);
      float* output = result.elements.get() + first;
      kernels.convert(weights.bytes + first * element_size(weights.type), weights.type, size,
                      output);
      kernels.measure(output, size, &range);
    }
    bad_chunks[chunk] = range.finite ? 0 : 1;
  });
  const auto bad = std::find(bad_chunks.begin(), bad_chunks.end(), 1);
  if (bad != bad_chunks.end()) {
    throw_non_finite(kernels, weights,
                     static_cast<size_t>(bad - bad_chunks.begin()) * kChunkWeights);
  }
  return result;
}

}  // namespace entrofleet
