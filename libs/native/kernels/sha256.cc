#include "kernels/sha256.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace entrofleet {
namespace {

constexpr size_t kBlockBytes = 64;
constexpr size_t kLengthBytes = 8;

constexpr uint32_t kInitialState[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

alignas(16) constexpr uint32_t kSha256Constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t rotated(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

uint32_t big_endian(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return __builtin_bswap32(word);
}

void advance_portable(uint32_t* state, const uint8_t* message, size_t blocks) {
  for (size_t block = 0; block < blocks; ++block, message += kBlockBytes) {
    uint32_t w[64];
    for (size_t t = 0; t < 16; ++t) w[t] = big_endian(message + 4 * t);
    for (size_t t = 16; t < 64; ++t) {
      const uint32_t s0 = rotated(w[t - 15], 7) ^ rotated(w[t - 15], 18) ^ w[t - 15] >> 3;
      const uint32_t s1 = rotated(w[t - 2], 17) ^ rotated(w[t - 2], 19) ^ w[t - 2] >> 10;
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t s[8];
    std::copy(state, state + 8, s);
    // Instead of moving the eight variables on by one place each round, their names move: that of
    // number i is s[(i - t) mod 8], a fixed one once eight rounds are unrolled.
    for (size_t first_round = 0; first_round < 64; first_round += 8) {
#pragma GCC unroll 8
      for (size_t t = 0; t < 8; ++t) {
        const auto variable = [&](size_t i) -> uint32_t& { return s[(i + 8 - t) % 8]; };
        const uint32_t a = variable(0);
        const uint32_t e = variable(4);
        const uint32_t choice = (e & variable(5)) ^ (~e & variable(6));
        const uint32_t sum1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
        const uint32_t added = variable(7) + sum1 + choice +
                               kSha256Constants[first_round + t] + w[first_round + t];
        const uint32_t majority = (a & variable(1)) ^ (a & variable(2)) ^
                                  (variable(1) & variable(2));
        variable(3) += added;
        variable(7) = added + (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + majority;
      }
    }
    for (size_t i = 0; i < 8; ++i) state[i] += s[i];
  }
}

template <size_t kMessages>
void portable(uint32_t (*states)[8], const uint8_t* const* messages, size_t blocks) {
  for (size_t m = 0; m < kMessages; ++m) advance_portable(states[m], messages[m], blocks);
}

constexpr Sha256Kernels kPortable = {portable<1>, portable<2>};

#if defined(__x86_64__)

#define SHA256_TARGET __attribute__((target("sha,sse4.1,ssse3")))

struct Sse {
  using Vector = __m128i;
  // As the instructions want it: words a, b, e, f and c, d, g, h, the first one highest.
  struct State {
    __m128i abef;
    __m128i cdgh;
  };

  SHA256_TARGET static State load_state(const uint32_t* state) {
    const auto* const halves = reinterpret_cast<const __m128i*>(state);
    const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(halves), 0xb1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(halves + 1), 0x1b);
    return {_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xf0)};
  }
  SHA256_TARGET static void store_state(const State& from, uint32_t* state) {
    auto* const halves = reinterpret_cast<__m128i*>(state);
    const __m128i feba = _mm_shuffle_epi32(from.abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(from.cdgh, 0xb1);
    _mm_storeu_si128(halves, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(halves + 1, _mm_alignr_epi8(dchg, feba, 8));
  }
  SHA256_TARGET static void add_state(State& state, const State& before) {
    state.abef = _mm_add_epi32(state.abef, before.abef);
    state.cdgh = _mm_add_epi32(state.cdgh, before.cdgh);
  }
  SHA256_TARGET static Vector load_words(const uint8_t* bytes) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)), swap);
  }
  SHA256_TARGET static Vector load_constants(const uint32_t* constants) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(constants));
  }
  SHA256_TARGET static Vector add(Vector a, Vector b) { return _mm_add_epi32(a, b); }
  SHA256_TARGET static void rounds(State& state, Vector words) {
    state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, words);
    state.abef =
        _mm_sha256rnds2_epu32(state.abef, state.cdgh, _mm_shuffle_epi32(words, 0x0e));
  }
  SHA256_TARGET static Vector schedule(Vector w0, Vector w4, Vector w8, Vector w12) {
    const __m128i sum =
        _mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), _mm_alignr_epi8(w12, w8, 4));
    return _mm_sha256msg2_epu32(sum, w12);
  }
};

using Accelerated = Sse;

bool has_instructions() {
  constexpr unsigned kShaBit = 1u << 29;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kShaBit) != 0;
}

#elif defined(__aarch64__)

#define SHA256_TARGET __attribute__((target("+crypto")))

struct Neon {
  using Vector = uint32x4_t;
  struct State {
    uint32x4_t abcd;
    uint32x4_t efgh;
  };

  SHA256_TARGET static State load_state(const uint32_t* state) {
    return {vld1q_u32(state), vld1q_u32(state + 4)};
  }
  SHA256_TARGET static void store_state(const State& from, uint32_t* state) {
    vst1q_u32(state, from.abcd);
    vst1q_u32(state + 4, from.efgh);
  }
  SHA256_TARGET static void add_state(State& state, const State& before) {
    state.abcd = vaddq_u32(state.abcd, before.abcd);
    state.efgh = vaddq_u32(state.efgh, before.efgh);
  }
  SHA256_TARGET static Vector load_words(const uint8_t* bytes) {
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes)));
  }
  SHA256_TARGET static Vector load_constants(const uint32_t* constants) {
    return vld1q_u32(constants);
  }
  SHA256_TARGET static Vector add(Vector a, Vector b) { return vaddq_u32(a, b); }
  SHA256_TARGET static void rounds(State& state, Vector words) {
    const uint32x4_t abcd = state.abcd;
    state.abcd = vsha256hq_u32(abcd, state.efgh, words);
    state.efgh = vsha256h2q_u32(state.efgh, abcd, words);
  }
  SHA256_TARGET static Vector schedule(Vector w0, Vector w4, Vector w8, Vector w12) {
    return vsha256su1q_u32(vsha256su0q_u32(w0, w4), w8, w12);
  }
};

using Accelerated = Neon;

bool has_instructions() { return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0; }

#endif

#if defined(SHA256_TARGET)

#include "kernels/sha256_rounds.body.h"

constexpr Sha256Kernels kAccelerated = {sha256_advance<Accelerated, 1>,
                                        sha256_advance<Accelerated, 2>};

#endif

// A message's end: what is left after whole blocks, a one bit, zeros, and its length in bits.
struct Tail {
  uint8_t bytes[2 * kBlockBytes] = {};
  size_t blocks;

  explicit Tail(std::span<const uint8_t> message) {
    const size_t rest = message.size() % kBlockBytes;
    if (rest > 0) std::memcpy(bytes, message.data() + message.size() - rest, rest);
    bytes[rest] = 0x80;
    blocks = rest + 1 + kLengthBytes <= kBlockBytes ? 1 : 2;
    const uint64_t bits = __builtin_bswap64(8 * uint64_t{message.size()});
    std::memcpy(bytes + blocks * kBlockBytes - kLengthBytes, &bits, kLengthBytes);
  }
};

// Takes the state of a message whose first `done` blocks are hashed to its digest.
Sha256Digest finished(const Sha256Kernels& kernels, uint32_t (&state)[8],
                      std::span<const uint8_t> message, size_t done) {
  const uint8_t* const rest = message.data() + done * kBlockBytes;
  kernels.one(&state, &rest, message.size() / kBlockBytes - done);
  const Tail tail(message);
  const uint8_t* const end = tail.bytes;
  kernels.one(&state, &end, tail.blocks);
  Sha256Digest digest;
  for (size_t i = 0; i < 8; ++i) {
    const uint32_t word = __builtin_bswap32(state[i]);
    std::memcpy(digest.data() + 4 * i, &word, sizeof(word));
  }
  return digest;
}

}  // namespace

const Sha256Kernels& sha256_kernels(bool portable) {
#if defined(SHA256_TARGET)
  static const bool accelerated = has_instructions();
  return portable || !accelerated ? kPortable : kAccelerated;
#else
  static_cast<void>(portable);
  return kPortable;
#endif
}

Sha256Digest sha256_with(const Sha256Kernels& kernels, std::span<const uint8_t> bytes) {
  uint32_t state[8];
  std::copy(kInitialState, kInitialState + 8, state);
  return finished(kernels, state, bytes, 0);
}

std::array<Sha256Digest, 2> sha256_pair_with(const Sha256Kernels& kernels,
                                             std::span<const uint8_t> first,
                                             std::span<const uint8_t> second) {
  uint32_t states[2][8];
  for (uint32_t (&state)[8] : states) std::copy(kInitialState, kInitialState + 8, state);
  const size_t together = std::min(first.size(), second.size()) / kBlockBytes;
  const uint8_t* const messages[2] = {first.data(), second.data()};
  kernels.two(states, messages, together);
  return {finished(kernels, states[0], first, together),
          finished(kernels, states[1], second, together)};
}

Sha256Digest sha256(std::span<const uint8_t> bytes) {
  return sha256_with(sha256_kernels(false), bytes);
}

std::array<Sha256Digest, 2> sha256_pair(std::span<const uint8_t> first,
                                        std::span<const uint8_t> second) {
  return sha256_pair_with(sha256_kernels(false), first, second);
}

}  // namespace entrofleet
