// Exact conversion of one stored value to float32, for tails and the portable code. See lanes.h for
// why there is no include guard.

inline float to_float(float value) { return value; }

inline float to_float(uint8_t symbol) { return static_cast<float>(symbol); }

inline float to_float(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  __builtin_memcpy(&result, &bits, sizeof(result));
  return result;
}

inline float to_float(Float16 value) {
  // The exponent moves by 127 - 15; multiplying by 2^112 does that, for subnormal numbers too.
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7fff) << 13;
  float scaled;
  __builtin_memcpy(&scaled, &magnitude, sizeof(scaled));
  scaled *= 0x1p112f;
  uint32_t bits;
  __builtin_memcpy(&bits, &scaled, sizeof(bits));
  // Infinities and NaN keep the largest exponent.
  if (magnitude >= 0x7c00u << 13) bits = magnitude | 0x7f800000u;
  bits |= sign;
  float result;
  __builtin_memcpy(&result, &bits, sizeof(result));
  return result;
}
