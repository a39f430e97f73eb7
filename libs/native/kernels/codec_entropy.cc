#include "kernels/codec_entropy.h"

namespace entrofleet {
namespace {

constexpr double kSquareRootOf2 = 1.4142135623730951;
constexpr double kTwoOverLog2 = 2.8853900817779268;
// With |s| <= 0.172 the terms beyond s^21 are below 2^-53.
constexpr int kLastExponent = 21;

}  // namespace

// log2(2^e m) = e + 2 / ln 2 * atanh((m - 1) / (m + 1)).
double log2_of(double value) {
  double exponent = 0;
  while (value > kSquareRootOf2) {
    value *= 0.5;
    exponent += 1;
  }
  const double s = (value - 1) / (value + 1);
  const double square = s * s;
  double series = 0;
  for (int k = kLastExponent; k >= 1; k -= 2) series = series * square + 1.0 / k;
  return exponent + kTwoOverLog2 * s * series;
}

double entropy_bits(const uint64_t* counts, size_t size) {
  double total = 0;
  double sum = 0;
  size_t symbols = 0;
  for (size_t i = 0; i < size; ++i) {
    const double count = static_cast<double>(counts[i]);
    if (count == 0) continue;
    ++symbols;
    total += count;
    sum += count * log2_of(count);
  }
  // The difference need not round to 0 where it should be, or could be just below.
  const double bits = log2_of(total) - sum / total;
  return symbols < 2 || bits < 0 ? 0 : bits;
}

}  // namespace entrofleet
