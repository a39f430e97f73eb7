// Random activations for the differential tests of products.
#pragma once

#include <vector>

#include "test/differential.h"

namespace entrofleet::test {

// Owns quantized activations next to a page that cannot be touched.
class ActivationRows {
 public:
  // `positions` rows of `columns` random values, now and then with the greatest wholes only.
  ActivationRows(const EngineKernels& kernels, size_t columns, size_t positions, Random& random);

  Activations view() const;
  int16_t whole(size_t position, size_t column) const {
    return reinterpret_cast<const int16_t*>(whole_.data())[position * stride_ + column];
  }
  bool operator==(const ActivationRows& other) const;

 private:
  size_t stride_;
  size_t positions_;
  GuardedBytes high_;
  GuardedBytes low_;
  GuardedBytes whole_;
  std::vector<float> scales_;
  std::vector<int64_t> sums_;
};

}  // namespace entrofleet::test
