#include "test/activation_rows.h"

#include <cmath>
#include <limits>

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

std::vector<float> random_values(Random& random, size_t count) {
  std::vector<float> values(count);
  const size_t shape = random.below(6);
  const int exponent = static_cast<int>(random.below(40)) - 20;
  for (float& value : values) {
    const double unit = static_cast<double>(random.next() >> 11) * 0x1p-52 - 1;
    value = static_cast<float>(std::ldexp(unit, exponent));
    if (shape == 1) value = random.one_in(2) ? 1.0f : -1.0f;
    if (shape == 2) value = 1.0f;
    if (shape == 3) value = 0.0f;
  }
  return values;
}

}  // namespace

ActivationRows::ActivationRows(const EngineKernels& kernels, size_t columns, size_t positions,
                               Random& random)
    : stride_(activation_stride(columns)),
      positions_(positions),
      high_(stride_ * positions, Guard::kAfter),
      low_(stride_ * positions, Guard::kAfter),
      whole_(stride_ * positions * sizeof(int16_t), Guard::kAfter),
      scales_(positions),
      sums_(positions) {
  for (size_t p = 0; p < positions; ++p) {
    const std::vector<float> values = random_values(random, columns);
    const size_t at = p * stride_;
    kernels.quantize_activations(
        values.data(), columns, stride_,
        {reinterpret_cast<int8_t*>(high_.data()) + at, reinterpret_cast<int8_t*>(low_.data()) + at,
         reinterpret_cast<int16_t*>(whole_.data()) + at, &scales_[p], &sums_[p]});
  }
}

Activations ActivationRows::view() const {
  return {reinterpret_cast<const int8_t*>(high_.data()),
          reinterpret_cast<const int8_t*>(low_.data()),
          reinterpret_cast<const int16_t*>(whole_.data()),
          scales_.data(),
          sums_.data(),
          stride_,
          positions_};
}

bool ActivationRows::operator==(const ActivationRows& other) const {
  return high_ == other.high_ && low_ == other.low_ && whole_ == other.whole_ &&
         std::memcmp(scales_.data(), other.scales_.data(), scales_.size() * sizeof(float)) == 0 &&
         sums_ == other.sums_;
}

void compare_activations(const EngineKernels& expected, const EngineKernels& actual,
                         Random& random) {
  const size_t columns = random.below(300);
  Random again = random;
  const ActivationRows rows[2] = {{expected, columns, 3, random}, {actual, columns, 3, again}};
  require_same(rows[0] == rows[1], "result of quantize_activations");
  const Activations view = rows[1].view();
  for (size_t p = 0; p < view.positions; ++p) {
    int64_t sum = 0;
    for (size_t c = 0; c < view.stride; ++c) {
      const size_t i = p * view.stride + c;
      require_same(view.whole[i] == 128 * view.high[i] + view.low[i], "split of an activation");
      require_same(view.high[i] >= -127 && view.low[i] >= -64 && view.low[i] <= 63,
                   "range of an activation");
      require_same(c < columns || view.whole[i] == 0, "padding of activations");
      sum += view.whole[i];
    }
    require_same(sum == view.sums[p], "sum of activations");
  }

  // Where no scale fits: all are zero, or the scale is not a number.
  std::vector<float> values(columns + 1, 1.0f);
  const float odd[] = {std::numeric_limits<float>::infinity(),
                       std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::denorm_min()};
  values[random.below(values.size())] = odd[random.below(2)];
  if (random.one_in(3)) values.assign(values.size(), odd[2]);
  const size_t stride = activation_stride(values.size());
  std::vector<int8_t> halves(2 * stride, 1);
  std::vector<int16_t> whole(stride, 1);
  float scale = 1;
  int64_t total = 1;
  actual.quantize_activations(
      values.data(), values.size(), stride,
      {halves.data(), halves.data() + stride, whole.data(), &scale, &total});
  const bool tiny = values[0] == odd[2];
  require_same(tiny ? scale == 0 : std::isnan(scale), "scale of unusable activations");
  require_same(total == 0 && whole == std::vector<int16_t>(stride) &&
                   halves == std::vector<int8_t>(2 * stride),
               "wholes of unusable activations");
}

}  // namespace entrofleet::test
