#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention.h"
#include "kernels/engine_kernels.h"
#include "test/differential.h"

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

// Sums of so many terms of about 1, in another order and with or without a rounding in between.
constexpr double kTolerance = 1e-5;

std::vector<float> random_floats(Random& random, size_t count) {
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(random.below(1 << 20)) / (1 << 19) - 1;
  }
  return values;
}

void require_near(double expected, double actual, double size, const char* what) {
  require_same(std::fabs(expected - actual) <= kTolerance * (size + 1), what);
}

// One head's keys and values, next to a page that cannot be touched.
class Stored {
 public:
  Stored(KeyValueFormat format, size_t head_size, size_t positions)
      : format_(format),
        head_size_(head_size),
        keys_((positions + kKeyBlock - 1) / kKeyBlock * kKeyBlock * head_size *
                  element_bytes(format),
              Guard::kAfter),
        values_(positions * value_stride(head_size) * element_bytes(format), Guard::kAfter),
        scales_(2 * positions) {}

  void store(const EngineKernels& kernels, size_t position, const float* key, const float* value) {
    const size_t block = position / kKeyBlock * kKeyBlock;
    const size_t at = block * head_size_ + position - block;
    const bool scaled = format_ == KeyValueFormat::kInt8;
    kernels.store_key_value(
        {format_, head_size_, keys_.data() + at * element_bytes(format_),
         values_.data() + position * value_stride(head_size_) * element_bytes(format_),
         scaled ? &scales_[2 * position] : nullptr, scaled ? &scales_[2 * position + 1] : nullptr},
        key, value);
  }

  KeyValueRun run() {
    key_scales_.clear();
    value_scales_.clear();
    for (size_t i = 0; i < scales_.size(); i += 2) {
      key_scales_.push_back(scales_[i]);
      value_scales_.push_back(scales_[i + 1]);
    }
    const bool scaled = format_ == KeyValueFormat::kInt8;
    return {format_,
            head_size_,
            keys_.data(),
            values_.data(),
            scaled ? key_scales_.data() : nullptr,
            scaled ? value_scales_.data() : nullptr};
  }

  bool operator==(const Stored& other) const {
    return keys_ == other.keys_ && values_ == other.values_ && scales_ == other.scales_;
  }

 private:
  KeyValueFormat format_;
  size_t head_size_;
  GuardedBytes keys_, values_;
  std::vector<float> scales_, key_scales_, value_scales_;
};

struct Attended {
  Attended(const EngineKernels& kernels, Stored& stored, const std::vector<float>& queries,
           size_t positions, const std::vector<uint32_t>& begins,
           const std::vector<uint32_t>& ends, size_t head_size)
      : peaks(begins.size()),
        totals(begins.size()),
        outputs(begins.size() * value_stride(head_size)) {
    std::vector<float> scores(begins.size() * kChunkPositions);
    kernels.attend({stored.run(), positions, queries.data(), begins.size(), begins.data(),
                    ends.data(), scores.data(), sums()});
  }

  bool operator==(const Attended& other) const = default;

  AttentionSums sums() { return {peaks.data(), totals.data(), outputs.data()}; }

  std::vector<float> peaks, totals, outputs;
};

}  // namespace

void compare_attention(const EngineKernels& expected, const EngineKernels& actual,
                       Random& random) {
  const KeyValueFormat format = static_cast<KeyValueFormat>(random.below(3));
  const size_t head_size = 1 + random.below(90);
  const size_t positions = 1 + random.below(kChunkPositions);
  const size_t rows = 1 + random.below(13);
  Stored wanted(format, head_size, positions);
  Stored found(format, head_size, positions);
  for (size_t position = 0; position < positions; ++position) {
    const std::vector<float> key = random_floats(random, head_size);
    const std::vector<float> value = random_floats(random, head_size);
    wanted.store(expected, position, key.data(), value.data());
    found.store(actual, position, key.data(), value.data());
  }
  require_same(wanted == found, "stored keys and values");
  const std::vector<float> queries = random_floats(random, rows * head_size);
  std::vector<uint32_t> begins(rows);
  std::vector<uint32_t> ends(rows);
  for (size_t row = 0; row < rows; ++row) {
    ends[row] = static_cast<uint32_t>(random.below(positions + 1));
    begins[row] = static_cast<uint32_t>(random.below(positions + 1));
  }
  Attended before(expected, wanted, queries, positions, begins, ends, head_size);
  Attended after(actual, found, queries, positions, begins, ends, head_size);
  for (size_t row = 0; row < rows; ++row) {
    require_same((before.totals[row] == 0) == (begins[row] >= ends[row]),
                 "rows that see nothing");
  }
  require_same(before == after, "attention");
  const size_t stride = value_stride(head_size);
  expected.merge_attention(before.sums(), 0, before.sums(), rows - 1, stride);
  actual.merge_attention(after.sums(), 0, after.sums(), rows - 1, stride);
  require_same(before == after, "merged attention");
}

void compare_float_products(const EngineKernels& expected, const EngineKernels& actual,
                            Random& random) {
  const size_t rows = 1 + random.below(20);
  const size_t columns = 1 + random.below(200);
  const size_t positions = 1 + random.below(9);
  // Any 16 bits but those of infinities and NaN are a number; shrunk so that sums stay small.
  std::vector<uint16_t> halves(rows * columns);
  for (uint16_t& half : halves) half = static_cast<uint16_t>(random.next() & 0xbbff);
  const bool brain = random.one_in(2);
  const FloatFormat format = brain ? FloatFormat::kBfloat16 : FloatFormat::kFloat16;
  const FloatWeights stored{format, rows, columns, halves.data()};
  std::vector<float> floats(halves.size());
  for (size_t row = 0; row < rows; ++row) {
    expected.read_row(stored, row, floats.data() + row * columns);
    std::vector<float> converted(columns);
    actual.read_row(stored, row, converted.data());
    require_same(std::equal(converted.begin(), converted.end(), floats.data() + row * columns),
                 "converted rows");
  }
  const FloatWeights weights{FloatFormat::kFloat32, rows, columns, floats.data()};
  const std::vector<float> inputs = random_floats(random, positions * columns);
  const std::vector<float> bias = random_floats(random, rows);
  const auto product = [&](const EngineKernels& kernels, const FloatWeights& own) {
    std::vector<float> outputs(rows * positions);
    kernels.multiply({&own, bias.data(), inputs.data(), columns, positions, outputs.data(), rows},
                     0, rows);
    return outputs;
  };
  const std::vector<float> wanted = product(expected, weights);
  const std::vector<float> found = product(actual, weights);
  require_same(product(actual, stored) == found, "products of half precision and of float32");
  for (size_t i = 0; i < wanted.size(); ++i) {
    double size = 0;
    for (size_t c = 0; c < columns; ++c) {
      size += std::fabs(static_cast<double>(floats[i % rows * columns + c]));
    }
    require_near(wanted[i], found[i], size, "products of floats");
  }
}

}  // namespace entrofleet::test
