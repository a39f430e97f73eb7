// A vector of floats in the widest registers of the instruction set a file is compiled for. Only
// *.body.h files use it, inside the namespace of that instruction set (see engine_kernels.h): two
// files compiled for different instruction sets must not share a symbol, or the linker would keep
// one of them for both. There is deliberately no include guard.

template <size_t kValue>
struct Count {
  static constexpr size_t value = kValue;
};

struct Lanes {
  // kWidth is the floats of one Float, kRegisters how many Floats the registers hold.
#if defined(ENTROFLEET_LANES_AVX512)
  using Float = __m512;
  static constexpr size_t kWidth = 16;
  static constexpr size_t kRegisters = 32;
  static Float zero() { return _mm512_setzero_ps(); }
  static Float broadcast(float value) { return _mm512_set1_ps(value); }
  static Float load(const float* from) { return _mm512_loadu_ps(from); }
  static Float load(const int8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  static Float load(const Float16* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Float load(const Bfloat16* from) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
  }
  static void store(float* to, Float value) { _mm512_storeu_ps(to, value); }
  static Float multiply_add(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float fused_multiply_add(Float a, Float b, Float c) { return multiply_add(a, b, c); }
#elif defined(ENTROFLEET_LANES_AVX2)
  using Float = __m256;
  static constexpr size_t kWidth = 8;
  static constexpr size_t kRegisters = 16;
  static Float zero() { return _mm256_setzero_ps(); }
  static Float broadcast(float value) { return _mm256_set1_ps(value); }
  static Float load(const float* from) { return _mm256_loadu_ps(from); }
  static Float load(const int8_t* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  static Float load(const Float16* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Float load(const Bfloat16* from) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
  }
  static void store(float* to, Float value) { _mm256_storeu_ps(to, value); }
  static Float multiply_add(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float fused_multiply_add(Float a, Float b, Float c) { return multiply_add(a, b, c); }
#elif defined(ENTROFLEET_LANES_NEON)
  // Two registers, so that eight bytes convert together.
  using Float = float32x4x2_t;
  static constexpr size_t kWidth = 8;
  static constexpr size_t kRegisters = 16;
  static Float zero() { return {vdupq_n_f32(0), vdupq_n_f32(0)}; }
  static Float broadcast(float value) { return {vdupq_n_f32(value), vdupq_n_f32(value)}; }
  static Float load(const float* from) { return {vld1q_f32(from), vld1q_f32(from + 4)}; }
  static Float load(const int8_t* from) {
    const int16x8_t words = vmovl_s8(vld1_s8(from));
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))),
            vcvtq_f32_s32(vmovl_s16(vget_high_s16(words)))};
  }
  static Float load(const Float16* from) {
    const uint16x8_t words = vld1q_u16(&from->bits);
    return {vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(words))),
            vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(words)))};
  }
  static Float load(const Bfloat16* from) {
    const uint16x8_t words = vld1q_u16(&from->bits);
    return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(words), 16)),
            vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(words), 16))};
  }
  static void store(float* to, Float value) {
    vst1q_f32(to, value.val[0]);
    vst1q_f32(to + 4, value.val[1]);
  }
  static Float multiply_add(Float a, Float b, Float c) {
    return {vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1])};
  }
  static Float fused_multiply_add(Float a, Float b, Float c) { return multiply_add(a, b, c); }
#else
  typedef float Float __attribute__((vector_size(16)));
  static constexpr size_t kWidth = 4;
  static constexpr size_t kRegisters = 16;
  static Float zero() { return Float{}; }
  static Float broadcast(float value) { return Float{value, value, value, value}; }
  static Float load(const float* from) {
    Float value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
  }
  static Float load(const int8_t* from) {
    return Float{static_cast<float>(from[0]), static_cast<float>(from[1]),
                 static_cast<float>(from[2]), static_cast<float>(from[3])};
  }
  static Float load(const Float16* from) {
    return Float{to_float(from[0]), to_float(from[1]), to_float(from[2]), to_float(from[3])};
  }
  static Float load(const Bfloat16* from) {
    return Float{to_float(from[0]), to_float(from[1]), to_float(from[2]), to_float(from[3])};
  }
  static void store(float* to, Float value) { __builtin_memcpy(to, &value, sizeof(value)); }
  static Float multiply_add(Float a, Float b, Float c) { return a * b + c; }
  // Rounded once. The product of two floats is exact in double precision; their sum is rounded to
  // odd there (away from a mantissa that ends in 0, by its own error), after which rounding to
  // float gives what rounding the exact sum would (Boldo and Melquiond 2008). An error that is NaN
  // comes from an infinity, which stays.
  static Float fused_multiply_add(Float a, Float b, Float c) {
    typedef double Double __attribute__((vector_size(32)));
    typedef int64_t Bits __attribute__((vector_size(32)));
    const Double product = __builtin_convertvector(a, Double) * __builtin_convertvector(b, Double);
    const Double addend = __builtin_convertvector(c, Double);
    Double sum = product + addend;
    const Double taken = sum - product;
    const Double error = (product - (sum - taken)) + (addend - taken);
    Bits bits, error_bits;
    __builtin_memcpy(&bits, &sum, sizeof(bits));
    __builtin_memcpy(&error_bits, &error, sizeof(error_bits));
    const Bits inexact = (error < 0.0) | (error > 0.0);
    const Bits even = (bits & 1) == 0;
    // 1 towards larger magnitudes, where sum and error have one sign, or -1.
    const Bits step = ((bits ^ error_bits) >> 63) * 2 + 1;
    bits += inexact & even & step;
    __builtin_memcpy(&sum, &bits, sizeof(sum));
    return __builtin_convertvector(sum, Float);
  }
#endif

  // The sum of all lanes, added pairwise.
  static float sum(Float value) {
    float lanes[kWidth];
    store(lanes, value);
    for (size_t half = kWidth / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
  }
};
