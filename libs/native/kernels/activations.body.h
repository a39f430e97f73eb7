// Quantizes activations (activations.h).

// The bits of |value|. Ordered as the values are, with infinity and then NaN above all of them.
inline uint32_t magnitude_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits & 0x7FFFFFFF;
}

inline float float_of_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

// |value| < 2^22. Adding 1.5 * 2^23 leaves the integer in the low bits, rounded to nearest with
// ties to even; unlike a conversion instruction it is the same on every machine.
inline int32_t nearest_integer(float value) {
  const float shifted = value + 0x1.8p23f;
  int32_t bits;
  __builtin_memcpy(&bits, &shifted, sizeof(bits));
  return bits - 0x4B400000;
}

static void quantize_activations(const float* __restrict input, size_t columns, size_t stride,
                                 const ActivationRow& output) {
  constexpr uint32_t kInfinity = 0x7F800000;
  uint32_t most = 0;
  for (size_t c = 0; c < columns; ++c) {
    const uint32_t bits = magnitude_bits(input[c]);
    most = bits > most ? bits : most;
  }
  const float peak = float_of_bits(most);
  float inverse = static_cast<float>(kActivationPeak) / peak;
  *output.scale = peak / static_cast<float>(kActivationPeak);
  // Values so small that the inverse overflows count as zero. Values that are not finite make the
  // scale NaN, so that the product is what it would be in float.
  const bool usable = most < kInfinity && magnitude_bits(inverse) < kInfinity;
  if (!usable) {
    inverse = 0;
    *output.scale = most < kInfinity ? 0.0f : float_of_bits(kInfinity | 1u << 22);
  }
  int8_t* __restrict high = output.high;
  int8_t* __restrict low = output.low;
  int16_t* __restrict whole = output.whole;
  const size_t count = usable ? columns : 0;
  int64_t sum = 0;
  // Blocks whose sum fits 32 bits: 65536 * 16319 < 2^31.
  for (size_t begin = 0; begin < count; begin += 65536) {
    const size_t end = count - begin < 65536 ? count : begin + 65536;
    int32_t part = 0;
    for (size_t c = begin; c < end; ++c) {
      const int32_t value = nearest_integer(input[c] * inverse);
      const int32_t upper = (value + 64) >> 7;
      whole[c] = static_cast<int16_t>(value);
      high[c] = static_cast<int8_t>(upper);
      low[c] = static_cast<int8_t>(value - 128 * upper);
      part += value;
    }
    sum += part;
  }
  for (size_t c = count; c < stride; ++c) {
    whole[c] = 0;
    high[c] = 0;
    low[c] = 0;
  }
  *output.sum = sum;
}
