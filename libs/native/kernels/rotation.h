// Cosine and sine of rotary embedding, with the same bits on every machine: library functions
// differ from one to another in the last bit.
#pragma once

#include <cmath>
#include <cstdint>

namespace entrofleet {

struct Rotation {
  double cosine;
  double sine;
};

// Of an angle of at most 2^30 radians: reduction by pi / 2 in three parts (fdlibm's) and Taylor
// series up to r^16 and r^17.
inline Rotation rotation_of(double angle) {
  constexpr double kTwoOverPi = 0.63661977236758134;
  constexpr double kPart1 = 1.57079632673412561417;
  constexpr double kPart2 = 6.07710050630396597660e-11;
  constexpr double kPart3 = 2.02226624871116645580e-21;
  const double quarter = std::nearbyint(angle * kTwoOverPi);
  const double rest = ((angle - quarter * kPart1) - quarter * kPart2) - quarter * kPart3;
  const double square = rest * rest;
  double sine = 1;
  double cosine = 1;
  for (int k = 16; k >= 2; k -= 2) {
    cosine = 1 - cosine * square / (k * (k - 1));
    sine = 1 - sine * square / (k * (k + 1));
  }
  sine *= rest;
  switch (static_cast<int64_t>(quarter) & 3) {
    case 1: return {-sine, cosine};
    case 2: return {-cosine, -sine};
    case 3: return {sine, -cosine};
    default: return {cosine, sine};
  }
}

}  // namespace entrofleet
