// Conversion of one value, for tails and the portable code; to float32 it is exact. See lanes.h for
// why there is no include guard.

inline float to_float(float value) { return value; }

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

// Rounds to nearest, ties to even; |value| <= 65504 or NaN. Written without branches, so that loops
// over it become vector code.
inline uint16_t to_float16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  // A normal number loses 13 bits of its fraction, and 127 - 15 of its exponent.
  const uint32_t odd = (magnitude >> 13) & 1;
  const uint32_t normal = (magnitude + 0xfff + odd - (112u << 23)) >> 13;
  // Adding 0.5 leaves a subnormal number, in units of 2^-24, in the low bits.
  float shifted;
  __builtin_memcpy(&shifted, &magnitude, sizeof(shifted));
  shifted += 0.5f;
  uint32_t subnormal;
  __builtin_memcpy(&subnormal, &shifted, sizeof(subnormal));
  uint32_t half = magnitude < (113u << 23) ? subnormal - 0x3f000000u : normal;
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  return static_cast<uint16_t>(half | sign);
}
