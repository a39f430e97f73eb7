#include "kernels/codec_quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/codec_failure.h"

namespace entrofleet {
namespace {

// Even, so that a block of nibbles is whole bytes.
constexpr size_t kBlock = 16384;
constexpr size_t kNoIndex = std::numeric_limits<size_t>::max();

// Rounds to the nearest integer, ties to even, for |x| < 2^22: adding 1.5 x 2^23 leaves no bits
// for a fraction. Unlike nearbyintf it vectorizes on every instruction set.
inline float round_to_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

inline float clamp(float x, float low, float high) {
  return x < low ? low : (x > high ? high : x);
}

// Calls work(block, first, count, member) for all blocks of `total` elements, each once.
template <typename Work>
void for_blocks(ThreadTeam& team, size_t total, size_t block_size, const Work& work) {
  const size_t blocks = (total + block_size - 1) / block_size;
  std::atomic<size_t> next{0};
  team.run([&](int member) {
    for (size_t block; (block = next.fetch_add(1, std::memory_order_relaxed)) < blocks;) {
      const size_t first = block * block_size;
      work(block, first, std::min(block_size, total - first), static_cast<size_t>(member));
    }
  });
}

[[noreturn]] void refuse_non_finite(size_t index) {
  throw CodecFailure{"NonFiniteWeight", "weight " + std::to_string(index) + " is not finite"};
}

// Keeps the smallest index, so that the message does not depend on the threads.
void note_first(std::atomic<size_t>& first, size_t index) {
  size_t seen = first.load();
  while (index < seen && !first.compare_exchange_weak(seen, index)) {
  }
}

// Index of the first non-finite value, or count.
size_t find_non_finite(const float* values, size_t count) {
  uint32_t largest = 0;
  for (size_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
  }
  if (largest < 0x7f800000u) return count;
  return static_cast<size_t>(
      std::find_if_not(values, values + count, [](float v) { return is_finite(v); }) - values);
}

// Eight interleaved partial sums fix the order of additions for any vector width.
template <typename Term>
double sum_in_order(size_t count, const Term& term) {
  double partial[8] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t k = 0; k < 8; ++k) partial[k] += term(i + k);
  }
  for (size_t k = 0; i < count; ++i, ++k) partial[k] += term(i);
  return ((partial[0] + partial[4]) + (partial[2] + partial[6])) +
         ((partial[1] + partial[5]) + (partial[3] + partial[7]));
}

void count_bytes(const uint8_t* bytes, size_t count, Histogram& into) {
  // Four tables keep runs of one symbol from waiting for each other's store.
  uint32_t counts[4][256] = {};
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t k = 0; k < 4; ++k) ++counts[k][bytes[i + k]];
  }
  for (; i < count; ++i) ++counts[0][bytes[i]];
  for (size_t s = 0; s < 256; ++s) {
    into[s] += counts[0][s] + counts[1][s] + counts[2][s] + counts[3][s];
  }
}

struct BlockSums {
  double signal = 0;
  double noise = 0;
};

void add_in_order(const std::vector<BlockSums>& sums, QuantizedStatistics& statistics) {
  for (const BlockSums& sum : sums) {
    statistics.signal_power += sum.signal;
    statistics.noise_power += sum.noise;
  }
}

void add_histograms(const std::vector<Histogram>& parts, Histogram& total) {
  for (const Histogram& part : parts) {
    for (size_t s = 0; s < 256; ++s) total[s] += part[s];
  }
}

float largest_magnitude(const float* values, size_t count) {
  float largest = 0;
  for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
  return largest;
}

// The row's step for one factor; see quantize_rows.
float row_step(double rms, float largest, double step_factor) {
  if (largest == 0) return 1.0f;
  const double wanted = std::max(step_factor * rms, static_cast<double>(largest) / 127.0);
  float step = round_to_bfloat(static_cast<float>(wanted));
  while (static_cast<double>(step) * 127.0 < largest) {
    step = std::bit_cast<float>(std::bit_cast<uint32_t>(step) + 0x10000u);
  }
  return step;
}

void quantize_row(const float* values, size_t count, float step, uint8_t* symbols) {
  for (size_t i = 0; i < count; ++i) {
    const float level = clamp(round_to_even(values[i] / step), -127.0f, 127.0f);
    symbols[i] = static_cast<uint8_t>(static_cast<int>(level) + kRowZeroPoint);
  }
}

double root_mean_square(const float* values, size_t count) {
  const double sum = sum_in_order(count, [&](size_t i) {
    return static_cast<double>(values[i]) * values[i];
  });
  return std::sqrt(sum / static_cast<double>(count));
}

double nibble_entropy(const Histogram& pairs, bool padded_pair, uint8_t last_pair) {
  std::array<uint64_t, 16> counts{};
  for (size_t s = 0; s < 256; ++s) {
    counts[s & 15] += pairs[s];
    counts[s >> 4] += pairs[s];
  }
  if (padded_pair) --counts[last_pair >> 4];
  return entropy_bits(counts);
}

}  // namespace

double entropy_bits(std::span<const uint64_t> counts) {
  uint64_t total = 0;
  for (uint64_t count : counts) total += count;
  if (total == 0) return 0;
  double bits = 0;
  for (uint64_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(total);
    bits -= share * std::log2(share);
  }
  return bits;
}

Histogram histogram_bytes(std::span<const uint8_t> bytes, ThreadTeam& team) {
  std::vector<Histogram> histograms(static_cast<size_t>(team.size()));
  for_blocks(team, bytes.size(), kBlock, [&](size_t, size_t first, size_t count, size_t member) {
    count_bytes(bytes.data() + first, count, histograms[member]);
  });
  Histogram total{};
  add_histograms(histograms, total);
  return total;
}

AffineGrid choose_affine_grid(WeightsView weights, int bits, ThreadTeam& team) {
  const size_t blocks = (weights.count + kBlock - 1) / kBlock;
  std::vector<std::array<float, 2>> ranges(blocks);
  std::atomic<size_t> bad{kNoIndex};
  for_blocks(team, weights.count, kBlock, [&](size_t block, size_t first, size_t count, size_t) {
    float values[kBlock] = {};
    read_floats(weights.bytes, weights.type, first, count, values);
    const size_t at = find_non_finite(values, count);
    if (at < count) note_first(bad, first + at);
    float low = values[0], high = values[0];
    for (size_t i = 1; i < count; ++i) {
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
    }
    ranges[block] = {low, high};
  });
  if (bad.load() != kNoIndex) refuse_non_finite(bad.load());
  float low = 0, high = 0;
  if (blocks > 0) {
    low = ranges[0][0];
    high = ranges[0][1];
  }
  for (const auto& range : ranges) {
    low = std::min(low, range[0]);
    high = std::max(high, range[1]);
  }
  const double levels = (1 << bits) - 1;
  if (low == 0 && high == 0) return {1.0f, 0};
  const auto nonzero = [](double step, double sign) {
    const float rounded = static_cast<float>(step);
    if (rounded != 0) return rounded;
    return static_cast<float>(sign) * std::numeric_limits<float>::denorm_min();
  };
  if (low >= 0) return {nonzero(high / levels, 1), 0};
  if (high <= 0) return {nonzero(low / levels, -1), 0};
  const float step = nonzero((static_cast<double>(high) - low) / levels, 1);
  const double zero = std::nearbyint(-static_cast<double>(low) / step);
  return {step, static_cast<int>(std::clamp(zero, 0.0, levels))};
}

QuantizedStatistics quantize_affine(WeightsView weights, AffineGrid grid, int bits,
                                    ThreadTeam& team, uint8_t* symbols) {
  const size_t blocks = (weights.count + kBlock - 1) / kBlock;
  const float top = static_cast<float>((1 << bits) - 1);
  const float zero = static_cast<float>(grid.zero_point);
  std::vector<BlockSums> sums(blocks);
  std::vector<Histogram> histograms(static_cast<size_t>(team.size()));
  for_blocks(team, weights.count, kBlock, [&](size_t block, size_t first, size_t count, size_t member) {
    float values[kBlock] = {};
    uint8_t levels[kBlock + 1];
    read_floats(weights.bytes, weights.type, first, count, values);
    for (size_t i = 0; i < count; ++i) {
      // The quotient is clamped before rounding, to stay in the range round_to_even works for.
      const float quotient = clamp(values[i] / grid.step, -65536.0f, 65536.0f);
      levels[i] = static_cast<uint8_t>(
          static_cast<int>(clamp(round_to_even(quotient) + zero, 0.0f, top)));
    }
    sums[block].signal = sum_in_order(count, [&](size_t i) {
      return static_cast<double>(values[i]) * values[i];
    });
    sums[block].noise = sum_in_order(count, [&](size_t i) {
      const double error =
          values[i] - static_cast<double>(grid.step * (static_cast<float>(levels[i]) - zero));
      return error * error;
    });
    if (bits == 8) {
      std::copy(levels, levels + count, symbols + first);
      count_bytes(symbols + first, count, histograms[member]);
      return;
    }
    levels[count] = 0;
    uint8_t* pairs = symbols + first / 2;
    const size_t pair_count = (count + 1) / 2;
    for (size_t i = 0; i < pair_count; ++i) {
      pairs[i] = static_cast<uint8_t>(levels[2 * i] | levels[2 * i + 1] << 4);
    }
    count_bytes(pairs, pair_count, histograms[member]);
  });
  QuantizedStatistics statistics;
  add_in_order(sums, statistics);
  add_histograms(histograms, statistics.histogram);
  const bool padded = weights.count % 2 == 1;
  statistics.entropy_bits_per_weight =
      bits == 8 ? entropy_bits(statistics.histogram)
                : nibble_entropy(statistics.histogram, padded,
                                 padded ? symbols[weights.count / 2] : 0);
  return statistics;
}

QuantizedStatistics quantize_rows(WeightsView weights, size_t columns, double step_factor,
                                  ThreadTeam& team, uint8_t* symbols, float* steps) {
  const size_t rows = weights.count / columns;
  const size_t rows_per_block = std::max<size_t>(1, kBlock / columns);
  const size_t blocks = (rows + rows_per_block - 1) / rows_per_block;
  std::vector<BlockSums> sums(blocks);
  std::vector<Histogram> histograms(static_cast<size_t>(team.size()));
  std::atomic<size_t> bad{kNoIndex};
  for_blocks(team, rows, rows_per_block, [&](size_t block, size_t first_row, size_t row_count,
                                              size_t member) {
    std::vector<float> values(columns);
    for (size_t row = first_row; row < first_row + row_count; ++row) {
      read_floats(weights.bytes, weights.type, row * columns, columns, values.data());
      const size_t at = find_non_finite(values.data(), columns);
      if (at < columns) return note_first(bad, row * columns + at);
      const double rms = root_mean_square(values.data(), columns);
      const float step = row_step(rms, largest_magnitude(values.data(), columns), step_factor);
      uint8_t* out = symbols + row * columns;
      quantize_row(values.data(), columns, step, out);
      steps[row] = step;
      sums[block].signal += rms * rms * static_cast<double>(columns);
      sums[block].noise += sum_in_order(columns, [&](size_t i) {
        const double error =
            values[i] - static_cast<double>(step) * (static_cast<int>(out[i]) - kRowZeroPoint);
        return error * error;
      });
      count_bytes(out, columns, histograms[member]);
    }
  });
  if (bad.load() != kNoIndex) refuse_non_finite(bad.load());
  QuantizedStatistics statistics;
  add_in_order(sums, statistics);
  add_histograms(histograms, statistics.histogram);
  statistics.entropy_bits_per_weight = entropy_bits(statistics.histogram);
  return statistics;
}

std::vector<Histogram> histogram_rows(WeightsView weights, size_t columns,
                                      std::span<const double> step_factors, size_t row_stride,
                                      ThreadTeam& team) {
  const size_t rows = weights.count / columns;
  const size_t sampled = (rows + row_stride - 1) / row_stride;
  const size_t rows_per_block = std::max<size_t>(1, kBlock / columns);
  std::vector<std::vector<Histogram>> members(
      static_cast<size_t>(team.size()), std::vector<Histogram>(step_factors.size()));
  std::atomic<size_t> next{0};
  std::atomic<size_t> bad{kNoIndex};
  team.run([&](int member) {
    std::vector<float> values(columns);
    std::vector<uint8_t> symbols(columns);
    std::vector<Histogram>& histograms = members[static_cast<size_t>(member)];
    for (size_t first; (first = next.fetch_add(rows_per_block)) < sampled;) {
      for (size_t k = first; k < std::min(sampled, first + rows_per_block); ++k) {
        const size_t start = k * row_stride * columns;
        read_floats(weights.bytes, weights.type, start, columns, values.data());
        const size_t at = find_non_finite(values.data(), columns);
        if (at < columns) return note_first(bad, start + at);
        const double rms = root_mean_square(values.data(), columns);
        const float largest = largest_magnitude(values.data(), columns);
        for (size_t f = 0; f < step_factors.size(); ++f) {
          quantize_row(values.data(), columns, row_step(rms, largest, step_factors[f]),
                       symbols.data());
          count_bytes(symbols.data(), columns, histograms[f]);
        }
      }
    }
  });
  if (bad.load() != kNoIndex) refuse_non_finite(bad.load());
  std::vector<Histogram> totals(step_factors.size());
  for (const auto& histograms : members) {
    for (size_t f = 0; f < totals.size(); ++f) {
      for (size_t s = 0; s < 256; ++s) totals[f][s] += histograms[f][s];
    }
  }
  return totals;
}

void weights_to_float(WeightsView weights, ThreadTeam& team, float* out) {
  std::atomic<size_t> bad{kNoIndex};
  for_blocks(team, weights.count, kBlock, [&](size_t, size_t first, size_t count, size_t) {
    read_floats(weights.bytes, weights.type, first, count, out + first);
    const size_t at = find_non_finite(out + first, count);
    if (at < count) note_first(bad, first + at);
  });
  if (bad.load() != kNoIndex) refuse_non_finite(bad.load());
}

}  // namespace entrofleet
