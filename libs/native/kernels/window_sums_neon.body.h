// Products with windows for NEON without dot products of bytes: widened symbols times 16-bit
// wholes. Defines what window_dots_neon.body.h takes.

#include "kernels/window_tiles_neon.body.h"

// Nothing is taken from 8-bit symbols, which are multiplied as they are.
constexpr int64_t kSymbolOffset = 0;

// Sums of the four rows of a quad at one position: lane c of rows[r] has the columns c, c + 4, ...
struct QuadSums {
  // A lane sums kTileSteps products a tile: 255 * 16319 * 8 * 64 < 2^31.
  static constexpr size_t kMostTiles = 64;

  int32x4_t rows[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};

  void add_to(int64_t* sums) const {
    for (size_t r = 0; r < 4; ++r) sums[r] += vaddlvq_s32(rows[r]);
  }
};

// The activations of a tile at one position.
struct TileInputs {
  const int16_t* whole;

  TileInputs(const Activations& inputs, size_t position, size_t column)
      : whole(inputs.whole + position * inputs.stride + column) {}

  template <size_t kStep>
  void multiply(uint8x16_t symbols, QuadSums& sums) const {
    const int16x8_t with = vreinterpretq_s16_s64(
        vld1q_dup_s64(reinterpret_cast<const int64_t*>(whole + kStep * kStepColumns)));
    const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(symbols)));
    const int16x8_t second = vreinterpretq_s16_u16(vmovl_high_u8(symbols));
    sums.rows[0] = vmlal_s16(sums.rows[0], vget_low_s16(first), vget_low_s16(with));
    sums.rows[1] = vmlal_high_s16(sums.rows[1], first, with);
    sums.rows[2] = vmlal_s16(sums.rows[2], vget_low_s16(second), vget_low_s16(with));
    sums.rows[3] = vmlal_high_s16(sums.rows[3], second, with);
  }
};

// Quads x positions whose sums live in registers: 4 x 4 of the 32.
template <size_t kPositions>
constexpr size_t kQuadsAtOnce = kPositions == 1 ? 4 : kPositions == 2 ? 2 : 1;

#include "kernels/window_dots_neon.body.h"
