// Products with windows for NEON with dot products of bytes: an instruction multiplies the four
// columns of a step, of four rows, with 8-bit halves of activations. Defines what
// window_dots_neon.body.h takes.

#include "kernels/window_tiles_neon.body.h"

// The instruction takes signed bytes. Only 8-bit symbols go beyond them, and are taken less this.
constexpr int64_t kSymbolOffset = 128;

// Sums of the four rows of a quad at one position, a lane each.
struct QuadSums {
  // A lane sums kTileColumns products a tile: 128 * 127 * kMostWindowColumns < 2^31.
  static constexpr size_t kMostTiles = kMostWindowColumns / kTileColumns;

  int32x4_t high = vdupq_n_s32(0);
  int32x4_t low = vdupq_n_s32(0);

  void add_to(int64_t* sums) const {
    const int64x2_t first = vaddw_s32(vshll_n_s32(vget_low_s32(high), 7), vget_low_s32(low));
    const int64x2_t second = vaddw_high_s32(vshll_high_n_s32(high, 7), low);
    vst1q_s64(sums, vaddq_s64(vld1q_s64(sums), first));
    vst1q_s64(sums + 2, vaddq_s64(vld1q_s64(sums + 2), second));
  }
};

// The activations of a tile at one position.
struct TileInputs {
  const int8_t* high;
  const int8_t* low;

  TileInputs(const Activations& inputs, size_t position, size_t column)
      : high(inputs.high + position * inputs.stride + column),
        low(inputs.low + position * inputs.stride + column) {}

  template <size_t kStep>
  void multiply(uint8x16_t symbols, QuadSums& sums) const {
    constexpr size_t kRegister = kStep / 4 * 16;
    const int8x16_t with = vreinterpretq_s8_u8(symbols);
    sums.high = vdotq_laneq_s32(sums.high, with, vld1q_s8(high + kRegister), kStep % 4);
    sums.low = vdotq_laneq_s32(sums.low, with, vld1q_s8(low + kRegister), kStep % 4);
  }
};

// Quads x positions whose sums live in registers: at most 4 x 2 x 2 of the 32, and their inputs.
template <size_t kPositions>
constexpr size_t kQuadsAtOnce = kPositions <= 2 ? 4 : 2;

#include "kernels/window_dots_neon.body.h"
