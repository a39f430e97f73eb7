#include <algorithm>
#include <cmath>

#include "test/differential.h"

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

// Half the distance from 1 to the next float: the most that one operation is off, relatively.
constexpr double kRounding = 0x1p-24;

// Floats next to a page that cannot be touched.
class GuardedFloats {
 public:
  explicit GuardedFloats(size_t count) : bytes_(count * sizeof(float), Guard::kAfter) {}
  GuardedFloats(Random& random, size_t count, double magnitude) : GuardedFloats(count) {
    for (size_t i = 0; i < count; ++i) {
      const double unit = static_cast<double>(random.next() >> 11) * 0x1p-52 - 1;
      data()[i] = static_cast<float>(unit * magnitude);
    }
  }

  float* data() const { return reinterpret_cast<float*>(bytes_.data()); }
  float operator[](size_t i) const { return data()[i]; }
  bool operator==(const GuardedFloats& other) const { return bytes_ == other.bytes_; }

 private:
  GuardedBytes bytes_;
};

}  // namespace

void compare_elementwise(const EngineKernels& expected, const EngineKernels& actual,
                         Random& random) {
  const size_t count = 1 + random.below(700);
  const double magnitude = std::ldexp(1, static_cast<int>(random.below(12)) - 4);
  const GuardedFloats input(random, count, magnitude);
  const GuardedFloats weight(random, count, 2);
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
    const double tolerance = 16 * kRounding * std::abs(exact) + 1e-35;
    require_same(std::abs(gates[1][i] - exact) <= tolerance, "gate");
  }
}

}  // namespace entrofleet::test
