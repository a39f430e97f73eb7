#include <cmath>
#include <cstring>

#include "test/differential.h"

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

constexpr size_t kMostCount = 700;

bool same_bits(const void* a, const void* b, size_t bytes) { return std::memcmp(a, b, bytes) == 0; }

std::vector<float> random_weights(Random& random) {
  std::vector<float> weights(random.below(kMostCount));
  const int exponent = static_cast<int>(random.below(20)) - 12;
  for (float& weight : weights) {
    const double unit = static_cast<double>(random.next() >> 11) * 0x1p-53 - 0.5;
    weight = static_cast<float>(std::ldexp(unit, exponent));
  }
  return weights;
}

void compare_convert(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  constexpr FloatType kTypes[] = {FloatType::kFloat32, FloatType::kFloat16, FloatType::kBfloat16};
  const FloatType type = kTypes[random.below(3)];
  const size_t count = random.below(kMostCount);
  const GuardedBytes raw(random.bytes(count * element_size(type)), Guard::kAfter);
  std::vector<float> weights[2] = {std::vector<float>(count), std::vector<float>(count)};
  expected.convert(raw.data(), type, count, weights[0].data());
  actual.convert(raw.data(), type, count, weights[1].data());
  for (size_t i = 0; i < count; ++i) {
    const bool both_nan = std::isnan(weights[0][i]) && std::isnan(weights[1][i]);
    require_same(both_nan || same_bits(&weights[0][i], &weights[1][i], sizeof(float)),
                 "weight of convert");
  }
}

void compare_measure(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  std::vector<float> weights = random_weights(random);
  if (!weights.empty() && random.one_in(4)) {
    weights[random.below(weights.size())] = random.one_in(2) ? INFINITY : NAN;
  }
  WeightRange ranges[2];
  const size_t first = random.below(weights.size() / kSumLanes + 1) * kSumLanes;
  const CodecKernels* const kernels[2] = {&expected, &actual};
  for (size_t side = 0; side < 2; ++side) {
    kernels[side]->measure(weights.data(), first, &ranges[side]);
    kernels[side]->measure(weights.data() + first, weights.size() - first, &ranges[side]);
  }
  require_same(ranges[0].finite == ranges[1].finite, "finiteness of measure");
  if (!ranges[0].finite) return;
  require_same(ranges[0].least == ranges[1].least && ranges[0].greatest == ranges[1].greatest,
               "range of measure");
  require_same(same_bits(&ranges[0].squares, &ranges[1].squares, sizeof(SumLanes)),
               "squares of measure");
}

void compare_quantize(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  const std::vector<float> weights = random_weights(random);
  const Grid grid = {std::ldexp(1.0f + static_cast<float>(random.below(100)) / 128, -10),
                     static_cast<float>(random.below(256)), 0,
                     static_cast<float>(1 + random.below(255))};
  const GuardedBytes symbols[2] = {{weights.size(), Guard::kAfter},
                                   {weights.size(), Guard::kAfter}};
  SumLanes noises[2];
  expected.quantize(weights.data(), weights.size(), grid, symbols[0].data(), &noises[0]);
  actual.quantize(weights.data(), weights.size(), grid, symbols[1].data(), &noises[1]);
  require_same(symbols[0] == symbols[1], "symbols of quantize");
  require_same(same_bits(&noises[0], &noises[1], sizeof(SumLanes)), "noise of quantize");
}

}  // namespace

void compare_weights(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  compare_convert(expected, actual, random);
  compare_measure(expected, actual, random);
  compare_quantize(expected, actual, random);
}

void compare_bytes(const CodecKernels& expected, const CodecKernels& actual, Random& random) {
  const GuardedBytes symbols(random_symbols(random, 3000), Guard::kAfter);
  Histogram counts[2] = {};
  expected.count_bytes(symbols.data(), symbols.size(), counts[0].data());
  actual.count_bytes(symbols.data(), symbols.size(), counts[1].data());
  require_same(counts[0] == counts[1], "counts of count_bytes");

  const GuardedBytes nibbles(symbols.size(), Guard::kAfter);
  for (size_t i = 0; i < nibbles.size(); ++i) nibbles.data()[i] = symbols.data()[i] & 15;
  const size_t pair_count = (nibbles.size() + 1) / 2;
  const GuardedBytes pairs[2] = {{pair_count, Guard::kAfter}, {pair_count, Guard::kAfter}};
  expected.pack_nibbles(nibbles.data(), nibbles.size(), pairs[0].data());
  actual.pack_nibbles(nibbles.data(), nibbles.size(), pairs[1].data());
  require_same(pairs[0] == pairs[1], "pairs of pack_nibbles");
}

}  // namespace entrofleet::test
