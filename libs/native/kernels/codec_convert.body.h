// Reading weights and measuring them. Included by codec_kernels.body.h.

typedef float FloatLanes __attribute__((vector_size(kSumLanes * sizeof(float))));
typedef double DoubleLanes __attribute__((vector_size(kSumLanes * sizeof(double))));
typedef int32_t IntLanes __attribute__((vector_size(kSumLanes * sizeof(int32_t))));
typedef uint8_t ByteLanes __attribute__((vector_size(kSumLanes)));

inline float from_float16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  // Exponents of binary16 are biased by 15, those of binary32 by 127.
  const uint32_t normal = magnitude + (112u << 23);
  const uint32_t special = magnitude | 0x7f800000;
  // A subnormal is (1 + m) * 2^-14 - 2^-14, which is exact.
  const uint32_t shifted = magnitude + (113u << 23);
  float subnormal;
  __builtin_memcpy(&subnormal, &shifted, sizeof(subnormal));
  subnormal -= 0x1p-14f;
  uint32_t bits;
  __builtin_memcpy(&bits, &subnormal, sizeof(bits));
  bits = magnitude < (1u << 23) ? bits : normal;
  bits = magnitude >= (31u << 23) ? special : bits;
  bits |= sign;
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

// Converts whole groups of 8 where the instruction set has an instruction for it, and returns how
// many elements that were. Every binary16 has its binary32, so it gives the same as from_float16()
// but for the payload of a NaN, which no caller looks at. Group i reads raw[2i, 2i + 16) and writes
// weights[i, i + 8), with i + 8 <= count.
inline size_t convert_float16_lanes(const uint8_t* raw, size_t count, float* weights) {
  size_t i = 0;
#if defined(__F16C__)
  typedef short HalfLanes __attribute__((vector_size(16)));
  for (; count - i >= 8; i += 8) {
    HalfLanes halves;
    __builtin_memcpy(&halves, raw + 2 * i, sizeof(halves));
    const FloatLanes floats = __builtin_ia32_vcvtph2ps256(halves);
    __builtin_memcpy(weights + i, &floats, sizeof(floats));
  }
#elif defined(__aarch64__)
  typedef __fp16 HalfLanes __attribute__((vector_size(16)));
  for (; count - i >= 8; i += 8) {
    HalfLanes halves;
    __builtin_memcpy(&halves, raw + 2 * i, sizeof(halves));
    const FloatLanes floats = __builtin_convertvector(halves, FloatLanes);
    __builtin_memcpy(weights + i, &floats, sizeof(floats));
  }
#else
  static_cast<void>(raw);
  static_cast<void>(count);
  static_cast<void>(weights);
#endif
  return i;
}

void convert(const uint8_t* raw, FloatType type, size_t count, float* weights) {
  if (type == FloatType::kFloat32) {
    __builtin_memcpy(weights, raw, count * sizeof(float));
    return;
  }
  if (type == FloatType::kFloat16) {
    for (size_t i = convert_float16_lanes(raw, count, weights); i < count; ++i) {
      uint16_t half;
      __builtin_memcpy(&half, raw + 2 * i, sizeof(half));
      weights[i] = from_float16(half);
    }
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    uint16_t high;
    __builtin_memcpy(&high, raw + 2 * i, sizeof(high));
    const uint32_t bits = static_cast<uint32_t>(high) << 16;
    __builtin_memcpy(weights + i, &bits, sizeof(bits));
  }
}

void measure(const float* weights, size_t count, WeightRange* range) {
  FloatLanes least = FloatLanes{} + range->least;
  FloatLanes greatest = FloatLanes{} + range->greatest;
  IntLanes special = {};
  DoubleLanes squares;
  __builtin_memcpy(&squares, range->squares.lanes, sizeof(squares));
  for (size_t i = 0; i < count; i += kSumLanes) {
    // The last lanes are padded with zeros, which add nothing: a range always includes 0.
    FloatLanes lanes = {};
    if (count - i >= kSumLanes) {
      __builtin_memcpy(&lanes, weights + i, sizeof(lanes));
    } else {
      __builtin_memcpy(&lanes, weights + i, (count - i) * sizeof(float));
    }
    least = lanes < least ? lanes : least;
    greatest = lanes > greatest ? lanes : greatest;
    special |= (reinterpret_cast<IntLanes>(lanes) & 0x7f800000) == 0x7f800000;
    const DoubleLanes wide = __builtin_convertvector(lanes, DoubleLanes);
    squares += wide * wide;
  }
  __builtin_memcpy(range->squares.lanes, &squares, sizeof(squares));
  for (size_t lane = 0; lane < kSumLanes; ++lane) {
    if (least[lane] < range->least) range->least = least[lane];
    if (greatest[lane] > range->greatest) range->greatest = greatest[lane];
    if (special[lane] != 0) range->finite = false;
  }
}
