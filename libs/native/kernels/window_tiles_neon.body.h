// What products with windows and their packing are made of (window_tiles.body.h), for NEON. A step
// is four registers, "quads" of rows: byte 4 * row + column of rows 4 * quad to 4 * quad + 3. What
// multiplies them is in the file that includes this one; see window_sums_neon.body.h.

constexpr size_t kQuads = 4;
constexpr size_t kQuadBytes = kStepBytes / kQuads;

// Ahead of the stream of a group's tiles and exceptions, and on into the next group's.
constexpr size_t kPrefetchBytes = 1024;

inline void prefetch_stream(const uint8_t* at) { __builtin_prefetch(at + kPrefetchBytes); }

// Rows 4 * quad to 4 * quad + 3 of 16 columns, as the quad's part of four steps.
inline void load_quad(const uint8_t* symbols, size_t row_stride, uint8x16_t low, uint8_t* windows) {
  uint32x4_t rows[4];
  for (size_t r = 0; r < 4; ++r) {
    rows[r] = vreinterpretq_u32_u8(vld1q_u8(symbols + r * row_stride));
  }
  const uint32x4x2_t first = vtrnq_u32(rows[0], rows[1]);
  const uint32x4x2_t second = vtrnq_u32(rows[2], rows[3]);
  for (size_t odd = 0; odd < 2; ++odd) {
    const uint64x2_t upper = vreinterpretq_u64_u32(first.val[odd]);
    const uint64x2_t lower = vreinterpretq_u64_u32(second.val[odd]);
    const uint8x16_t near = vreinterpretq_u8_u64(vtrn1q_u64(upper, lower));
    const uint8x16_t far = vreinterpretq_u8_u64(vtrn2q_u64(upper, lower));
    vst1q_u8(windows + odd * kStepBytes, vsubq_u8(near, low));
    vst1q_u8(windows + (odd + 2) * kStepBytes, vsubq_u8(far, low));
  }
}

inline void load_tile(const uint8_t* symbols, size_t row_stride, uint8_t low, uint8_t* windows) {
  const uint8x16_t lows = vdupq_n_u8(low);
  for (size_t quad = 0; quad < kQuads; ++quad) {
    const uint8_t* const rows = symbols + 4 * quad * row_stride;
    uint8_t* const to = windows + quad * kQuadBytes;
    load_quad(rows, row_stride, lows, to);
    load_quad(rows + kTileColumns / 2, row_stride, lows, to + kTileSteps / 2 * kStepBytes);
  }
}

inline uint64_t take_exceptions(uint8_t* windows, unsigned bits) {
  const uint8x16_t most = vdupq_n_u8(static_cast<uint8_t>((1u << bits) - 1));
  // One bit of each byte of a half.
  const uint8x16_t places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  uint8x16_t found[kQuads];
  for (size_t quad = 0; quad < kQuads; ++quad) {
    const uint8x16_t held = vld1q_u8(windows + quad * kQuadBytes);
    const uint8x16_t outside = vcgtq_u8(held, most);
    vst1q_u8(windows + quad * kQuadBytes, vbicq_u8(held, outside));
    found[quad] = vandq_u8(outside, places);
  }
  const uint8x16_t pairs = vpaddq_u8(vpaddq_u8(found[0], found[1]), vpaddq_u8(found[2], found[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(pairs, pairs)), 0);
}

// Bit r: bit 4 * r + column of a step's 64.
inline uint64_t column_bits(uint64_t step_bits, size_t column) {
  uint64_t bits = step_bits >> column & 0x1111111111111111;
  bits = (bits | bits >> 3) & 0x0303030303030303;
  bits = (bits | bits >> 6) & 0x000F000F000F000F;
  bits = (bits | bits >> 12) & 0x000000FF000000FF;
  return (bits | bits >> 24) & 0xFFFF;
}

template <int kShift>
inline uint8x16_t shifted(uint8x16_t value) {
  if constexpr (kShift > 0) return vshrq_n_u8(value, kShift);
  if constexpr (kShift < 0) return vshlq_n_u8(value, -kShift);
  return value;
}

// Packs one bit or two of each of `steps`, 8 / kBits of them, which are left shifted by kBits. Only
// the last one may have higher bits, and they fall off the end.
template <int kBits>
inline uint8x16_t pack_steps(uint8x16_t* steps) {
  constexpr size_t kSteps = 8 / kBits;
  uint8x16_t packed = steps[kSteps - 1];
  for (size_t i = kSteps - 1; i-- > 0;) packed = vsliq_n_u8(steps[i], packed, kBits);
  for (size_t i = 0; i < kSteps; ++i) steps[i] = shifted<kBits>(steps[i]);
  return packed;
}

inline void pack_tile(const uint8_t* windows, unsigned bits, uint8_t* tile) {
  if (bits == 8) {
    __builtin_memcpy(tile, windows, kTileSymbols);
    return;
  }
  for (size_t quad = 0; quad < kQuads; ++quad) {
    uint8x16_t steps[kTileSteps];
    for (size_t i = 0; i < kTileSteps; ++i) {
      steps[i] = vld1q_u8(windows + i * kStepBytes + quad * kQuadBytes);
    }
    uint8_t* to = tile + quad * kQuadBytes;
    if ((bits & 4) != 0) {
      for (size_t v = 0; v < 4; ++v, to += kStepBytes) vst1q_u8(to, pack_steps<4>(steps + 2 * v));
    }
    if ((bits & 2) != 0) {
      for (size_t v = 0; v < 2; ++v, to += kStepBytes) vst1q_u8(to, pack_steps<2>(steps + 4 * v));
    }
    if ((bits & 1) != 0) vst1q_u8(to, pack_steps<1>(steps));
  }
}

// Puts the kBits bits that lie at kFrom in a plane at kTo of the windows, which has nothing there.
template <int kBits, int kFrom, int kTo>
inline uint8x16_t join_plane(uint8x16_t windows, uint8x16_t plane) {
  const uint8x16_t moved = shifted<kFrom - kTo>(plane);
  const uint8x16_t mask = vdupq_n_u8(static_cast<uint8_t>(((1 << kBits) - 1) << kTo));
  if constexpr (kTo > 0) return vbslq_u8(mask, moved, windows);
  return kFrom + kBits == 8 ? moved : vandq_u8(moved, mask);
}

// The windows of one step, from the quad's first 16 bytes of a tile on.
template <unsigned kBits, size_t kStep>
inline uint8x16_t load_windows(const uint8_t* quad) {
  if constexpr (kBits == 8) return vld1q_u8(quad + kStep * kStepBytes);
  uint8x16_t windows = vdupq_n_u8(0);
  if constexpr ((kBits & 4) != 0) {
    windows = join_plane<4, kStep % 2 * 4, 0>(windows, vld1q_u8(quad + kStep / 2 * kStepBytes));
  }
  if constexpr ((kBits & 2) != 0) {
    const uint8_t* const plane = quad + ((kBits & 4) + kStep / 4) * kStepBytes;
    windows = join_plane<2, kStep % 4 * 2, kBits & 4>(windows, vld1q_u8(plane));
  }
  if constexpr ((kBits & 1) != 0) {
    windows = join_plane<1, kStep, kBits & 6>(windows, vld1q_u8(quad + (kBits & 6) * kStepBytes));
  }
  return windows;
}

// Calls work(Count<0>()) to work(Count<7>()), one per step of a tile, without a loop.
template <typename Work>
inline __attribute__((always_inline)) void for_each_step(const Work& work) {
  work(Count<0>());
  work(Count<1>());
  work(Count<2>());
  work(Count<3>());
  work(Count<4>());
  work(Count<5>());
  work(Count<6>());
  work(Count<7>());
}

template <unsigned kBits>
inline void unpack_bits(const uint8_t* tile, uint8_t low, uint8_t* symbols) {
  const uint8x16_t lows = vdupq_n_u8(low);
  for (size_t quad = 0; quad < kQuads; ++quad) {
    for_each_step([&](auto step) __attribute__((always_inline)) {
      const uint8x16_t windows = load_windows<kBits, step.value>(tile + quad * kQuadBytes);
      vst1q_u8(symbols + step.value * kStepBytes + quad * kQuadBytes, vaddq_u8(windows, lows));
    });
  }
}

inline void unpack_tile(const uint8_t* tile, Window window, uint8_t* symbols) {
  switch (window.bits) {
    case 1: return unpack_bits<1>(tile, window.low, symbols);
    case 2: return unpack_bits<2>(tile, window.low, symbols);
    case 3: return unpack_bits<3>(tile, window.low, symbols);
    case 4: return unpack_bits<4>(tile, window.low, symbols);
    case 5: return unpack_bits<5>(tile, window.low, symbols);
    case 6: return unpack_bits<6>(tile, window.low, symbols);
    case 7: return unpack_bits<7>(tile, window.low, symbols);
    default: return unpack_bits<8>(tile, window.low, symbols);
  }
}

// sum(symbols[i] * whole[i]). At most kPanelColumns symbols, so that 32 bits hold any part of their
// sum: 255 * 16319 * 512 < 2^31.
inline int64_t dot_row(const uint8_t* symbols, const int16_t* whole, size_t count) {
  int32x4_t sums[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const uint8x16_t bytes = vld1q_u8(symbols + i);
    const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
    const int16x8_t second = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
    const int16x8_t with_first = vld1q_s16(whole + i);
    const int16x8_t with_second = vld1q_s16(whole + i + 8);
    sums[0] = vmlal_s16(sums[0], vget_low_s16(first), vget_low_s16(with_first));
    sums[1] = vmlal_high_s16(sums[1], first, with_first);
    sums[2] = vmlal_s16(sums[2], vget_low_s16(second), vget_low_s16(with_second));
    sums[3] = vmlal_high_s16(sums[3], second, with_second);
  }
  const int32x4_t all = vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3]));
  int32_t total = vaddvq_s32(all);
  for (; i < count; ++i) total += symbols[i] * whole[i];
  return total;
}
