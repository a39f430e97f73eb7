// exp() of float32 without branches or library calls, so that loops over it become vector code and
// every instruction set and C library gives the same bits. Cephes' expf: reduction by ln 2 in two
// parts and a polynomial of degree 5; within 2 units in the last place. Inputs beyond the range of
// normal floats are clamped to it; NaN gives an unspecified value.

inline float exponential(float x) {
  x = x < -87.33f ? -87.33f : x;
  x = x > 88.37f ? 88.37f : x;
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves that integer in the low bits.
  const float shifted = x * 1.44269504f + 12582912.0f;
  const float whole = shifted - 12582912.0f;
  int32_t bits;
  __builtin_memcpy(&bits, &shifted, sizeof(bits));
  const int32_t exponent = bits - 0x4B400000;
  const float rest = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  float polynomial = 1.9875691500e-4f;
  polynomial = polynomial * rest + 1.3981999507e-3f;
  polynomial = polynomial * rest + 8.3334519073e-3f;
  polynomial = polynomial * rest + 4.1665795894e-2f;
  polynomial = polynomial * rest + 1.6666665459e-1f;
  polynomial = polynomial * rest + 5.0000001201e-1f;
  const float mantissa = polynomial * rest * rest + rest + 1.0f;
  const int32_t scale_bits = (exponent + 127) << 23;
  float scale;
  __builtin_memcpy(&scale, &scale_bits, sizeof(scale));
  return mantissa * scale;
}
