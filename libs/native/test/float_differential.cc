#include <algorithm>
#include <cmath>

#include "test/differential.h"

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

// Half the distance from 1 to the next float: the most that one operation is off, relatively.
constexpr double kRounding = 0x1p-24;

std::vector<float> random_floats(Random& random, size_t count, double magnitude) {
  std::vector<float> values(count);
  for (float& value : values) {
    const double unit = static_cast<double>(random.next() >> 11) * 0x1p-52 - 1;
    value = static_cast<float>(unit * magnitude);
  }
  return values;
}

// Floats next to a page that cannot be touched.
class GuardedFloats {
 public:
  explicit GuardedFloats(size_t count) : bytes_(count * sizeof(float), Guard::kAfter) {}
  explicit GuardedFloats(const std::vector<float>& values) : GuardedFloats(values.size()) {
    std::copy(values.begin(), values.end(), data());
  }

  float* data() const { return reinterpret_cast<float*>(bytes_.data()); }
  float operator[](size_t i) const { return data()[i]; }
  bool operator==(const GuardedFloats& other) const { return bytes_ == other.bytes_; }

 private:
  GuardedBytes bytes_;
};

void require_near(double actual, double expected, double tolerance, const char* what) {
  require_same(std::abs(actual - expected) <= tolerance, what);
}

// Random weights as they are stored, of which any finite 16 bits are some.
std::vector<uint8_t> stored_weights(Random& random, FloatFormat format, size_t count) {
  std::vector<uint8_t> bytes(count * bytes_of(format));
  const std::vector<float> values = random_floats(random, count, 2);
  for (size_t i = 0; i < count; ++i) {
    uint16_t half = static_cast<uint16_t>(random.next());
    if (format == FloatFormat::kFloat32) {
      std::memcpy(bytes.data() + 4 * i, &values[i], 4);
    } else {
      // Magnitudes below 16, subnormal ones too.
      if (format == FloatFormat::kFloat16) half &= 0xCBFF;
      if (format == FloatFormat::kBfloat16) half &= 0xC17F;
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
  }
  return bytes;
}

// Keys and values of one head, stored by one instruction set's kernels.
class StoredRun {
 public:
  StoredRun(const EngineKernels& kernels, KeyValueFormat format, size_t head_size,
            const std::vector<float>& keys, const std::vector<float>& values)
      : positions_(keys.size() / head_size),
        blocks_((positions_ + kKeyBlock - 1) / kKeyBlock),
        keys_(blocks_ * kKeyBlock * head_size * element_bytes(format), Guard::kAfter),
        values_(positions_ * value_stride(head_size) * element_bytes(format), Guard::kAfter),
        key_scales_(positions_),
        value_scales_(positions_) {
    const bool scaled = format == KeyValueFormat::kInt8;
    run_ = {format,
            head_size,
            keys_.data(),
            values_.data(),
            scaled ? key_scales_.data() : nullptr,
            scaled ? value_scales_.data() : nullptr};
    for (size_t p = 0; p < positions_; ++p) {
      const size_t key = p / kKeyBlock * kKeyBlock * head_size + p % kKeyBlock;
      kernels.store_key_value({format, head_size, keys_.data() + key * element_bytes(format),
                               values_.data() + p * value_stride(head_size) * element_bytes(format),
                               scaled ? key_scales_.data() + p : nullptr,
                               scaled ? value_scales_.data() + p : nullptr},
                              keys.data() + p * head_size, values.data() + p * head_size);
    }
  }

  const KeyValueRun& view() const { return run_; }
  size_t positions() const { return positions_; }
  bool operator==(const StoredRun& other) const {
    return keys_ == other.keys_ && values_ == other.values_ && key_scales_ == other.key_scales_ &&
           value_scales_ == other.value_scales_;
  }

 private:
  size_t positions_;
  size_t blocks_;
  GuardedBytes keys_;
  GuardedBytes values_;
  std::vector<float> key_scales_;
  std::vector<float> value_scales_;
  KeyValueRun run_;
};

// Queries that see random parts of a chunk.
struct Queries {
  size_t rows;
  std::vector<float> values;
  std::vector<uint32_t> begins, ends;

  Queries(Random& random, size_t head_size, size_t positions)
      : rows(1 + random.below(10)),
        values(random_floats(random, rows * head_size, 1)),
        begins(rows),
        ends(rows) {
    for (size_t r = 0; r < rows; ++r) {
      ends[r] = static_cast<uint32_t>(random.below(positions + 1));
      begins[r] = static_cast<uint32_t>(random.one_in(2) ? 0 : random.below(ends[r] + 1));
    }
  }
};

// What one instruction set's kernels make of queries.
struct Attended {
  std::vector<float> peaks, totals;
  GuardedFloats outputs;

  Attended(const EngineKernels& kernels, const StoredRun& run, const Queries& queries)
      : peaks(queries.rows),
        totals(queries.rows),
        outputs(queries.rows * value_stride(run.view().head_size)) {
    const GuardedFloats held(queries.values);
    const GuardedFloats scores(queries.rows * kChunkPositions);
    kernels.attend({run.view(), run.positions(), held.data(), queries.rows, queries.begins.data(),
                    queries.ends.data(), scores.data(), sums()});
  }

  AttentionSums sums() { return {peaks.data(), totals.data(), outputs.data()}; }
  bool operator==(const Attended& other) const {
    return peaks == other.peaks && totals == other.totals && outputs == other.outputs;
  }
};

}  // namespace

void compare_float_products(const EngineKernels& expected, const EngineKernels& actual,
                            Random& random) {
  const FloatFormat formats[] = {FloatFormat::kFloat32, FloatFormat::kFloat16,
                                 FloatFormat::kBfloat16};
  const FloatFormat format = formats[random.below(3)];
  const size_t rows = 1 + random.below(20);
  const size_t columns = 1 + random.below(130);
  const size_t positions = 1 + random.below(9);
  const GuardedBytes stored(stored_weights(random, format, rows * columns), Guard::kAfter);
  const FloatWeights weights = {format, rows, columns, stored.data()};
  const GuardedFloats inputs(random_floats(random, positions * columns, 1));
  const std::vector<float> bias = random_floats(random, rows, 1);
  const EngineKernels* const kernels[2] = {&expected, &actual};
  const GuardedFloats outputs[2] = {GuardedFloats(positions * rows),
                                    GuardedFloats(positions * rows)};
  const GuardedFloats held[2] = {GuardedFloats(rows * columns), GuardedFloats(rows * columns)};
  for (size_t side = 0; side < 2; ++side) {
    const FloatProduct product = {&weights, bias.data(),          inputs.data(), columns,
                                  positions, outputs[side].data(), rows};
    kernels[side]->multiply(product, 0, rows / 2);
    kernels[side]->multiply(product, rows / 2, rows);
    for (size_t r = 0; r < rows; ++r) {
      kernels[side]->read_row(weights, r, held[side].data() + r * columns);
    }
  }
  require_same(held[0] == held[1], "row of read_row");
  for (size_t p = 0; p < positions; ++p) {
    for (size_t r = 0; r < rows; ++r) {
      double exact = bias[r];
      double magnitude = std::abs(exact);
      for (size_t c = 0; c < columns; ++c) {
        const double part = static_cast<double>(held[0][r * columns + c]) * inputs[p * columns + c];
        exact += part;
        magnitude += std::abs(part);
      }
      // A sum of n products, in any order, is off by n roundings of the magnitudes at most.
      const double tolerance = static_cast<double>(columns + 2) * kRounding * magnitude;
      require_near(outputs[1][p * rows + r], exact, tolerance, "output of multiply");
    }
  }
}

void compare_attention(const EngineKernels& expected, const EngineKernels& actual,
                       Random& random) {
  const KeyValueFormat formats[] = {KeyValueFormat::kFloat32, KeyValueFormat::kFloat16,
                                    KeyValueFormat::kInt8};
  const KeyValueFormat format = formats[random.below(3)];
  const size_t head_size = 1 + random.below(random.one_in(3) ? 130 : 30);
  const size_t positions = 1 + random.below(random.one_in(3) ? kChunkPositions : 40);
  const std::vector<float> keys = random_floats(random, positions * head_size, 1);
  const std::vector<float> values = random_floats(random, positions * head_size, 1);
  const StoredRun runs[2] = {{expected, format, head_size, keys, values},
                             {actual, format, head_size, keys, values}};
  require_same(runs[0] == runs[1], "keys and values of store_key_value");
  const Queries queries(random, head_size, positions);
  Attended sums[2] = {{expected, runs[0], queries}, {actual, runs[1], queries}};
  // Queries, keys and values are at most 1. A score is off by head_size roundings of its magnitude
  // on either side, a weight by twice that relative to its total, and sums over the positions by a
  // rounding each; the exponential adds a few.
  const double size = static_cast<double>(head_size);
  const double score_error = 2 * (size + 2) * size * kRounding;
  const double error = 4 * score_error + 2 * static_cast<double>(positions + 16) * kRounding;
  const size_t stride = value_stride(head_size);
  for (size_t r = 0; r < queries.rows; ++r) {
    const double totals[2] = {sums[0].totals[r], sums[1].totals[r]};
    if (queries.begins[r] >= queries.ends[r]) {
      require_same(totals[1] == 0, "total of a query that sees nothing");
      continue;
    }
    require_near(sums[1].peaks[r], sums[0].peaks[r], score_error, "peak of attend");
    require_near(totals[1], totals[0], error * totals[0], "total of attend");
    for (size_t d = 0; d < head_size; ++d) {
      require_near(sums[1].outputs[r * stride + d] / totals[1],
                   sums[0].outputs[r * stride + d] / totals[0], error, "output of attend");
    }
  }
  // The same sums on both sides, merged into those of another query.
  const size_t last = queries.rows - 1;
  Attended merged[2] = {{expected, runs[0], queries}, {expected, runs[0], queries}};
  expected.merge_attention(sums[0].sums(), 0, merged[0].sums(), last, stride);
  actual.merge_attention(sums[0].sums(), 0, merged[1].sums(), last, stride);
  require_same(merged[0] == merged[1], "result of merge_attention");
}

void compare_elementwise(const EngineKernels& expected, const EngineKernels& actual,
                         Random& random) {
  const size_t count = 1 + random.below(700);
  const double magnitude = std::ldexp(1, static_cast<int>(random.below(12)) - 4);
  const GuardedFloats input(random_floats(random, count, magnitude));
  const GuardedFloats weight(random_floats(random, count, 2));
  const EngineKernels* const kernels[2] = {&expected, &actual};
  const GuardedFloats normalized[2] = {GuardedFloats(count), GuardedFloats(count)};
  const GuardedFloats gates[2] = {GuardedFloats(count), GuardedFloats(count)};
  double sums[2];
  for (size_t side = 0; side < 2; ++side) {
    kernels[side]->normalize(input.data(), weight.data(), count, 1e-5, normalized[side].data());
    std::copy_n(input.data(), count, gates[side].data());
    kernels[side]->gate(gates[side].data(), weight.data(), count);
    sums[side] = kernels[side]->log_sum_exp(input.data(), count);
  }
  require_same(normalized[0] == normalized[1], "result of normalize");
  require_same(gates[0] == gates[1], "result of gate");
  require_same(sums[0] == sums[1], "result of log_sum_exp");
  for (size_t i = 0; i < count; ++i) {
    const double x = input[i];
    const double exact = x / (1 + std::exp(-x)) * weight[i];
    // The exponential ends at the largest float, far below which the gate is as good as 0.
    require_near(gates[1][i], exact, 16 * kRounding * std::abs(exact) + 1e-35, "gate");
  }
}

}  // namespace entrofleet::test
