#include "kernels/codec_residuals.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "kernels/codec_failure.h"
#include "kernels/codec_range_coder.h"

namespace entrofleet {
namespace {

constexpr size_t kOffsets = 16;
constexpr size_t kMagnitudes = 8;
constexpr size_t kActivities = 6;
constexpr size_t kUnary = 16;
constexpr int kEscapeBits = 8;
constexpr int kMostKept = 15;

// What is known of a weight before its residual is.
struct Prediction {
  int level;
  // Which neighbouring level is nearer to what the base says: +1 or -1.
  int side;
  // How far the base is from the predicted level, and that from the level of zero.
  size_t offset;
  size_t magnitude;
};

Prediction predict(const ResidualGrids& grids, int32_t ratio, int base_level) {
  constexpr int32_t kHalf = int32_t{1} << (kRatioBits - 1);
  // Below 2^30: a level is at most 255 from zero, a ratio at most 2^22.
  const int32_t place = (base_level - grids.base_zero) * ratio;
  const int32_t steps = (place + kHalf) >> kRatioBits;
  const int32_t rest = place - steps * (int32_t{1} << kRatioBits);
  const uint32_t distance = static_cast<uint32_t>(rest < 0 ? -rest : rest);
  const uint32_t span = static_cast<uint32_t>(steps < 0 ? -steps : steps);
  return {
      .level = std::clamp(grids.target_zero + steps, 0, (1 << grids.bits) - 1),
      .side = rest < 0 ? -1 : 1,
      .offset = std::min<size_t>(distance >> (kRatioBits - 5), kOffsets - 1),
      .magnitude = std::min<size_t>(std::bit_width(span), kMagnitudes - 1),
  };
}

// Residuals left of the weight and above it, as one of kActivities.
size_t activity_of(int left, int above) {
  constexpr uint8_t kBuckets[2 * kMostKept + 1] = {0, 1, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5,
                                                   5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
  return kBuckets[left + above];
}

// The adaptive states of a block.
struct ResidualModel {
  AdaptiveBit differs[kOffsets][kMagnitudes][kActivities];
  AdaptiveBit away[kOffsets][kActivities];
  AdaptiveBit longer[kActivities][kUnary];
  AdaptiveBit escape[1 << kEscapeBits];

  // Codes a residual that points to the prediction's side when positive.
  template <typename Coder>
  int code(Coder& coder, const Prediction& prediction, size_t activity, int residual) {
    const auto [level, side, offset, magnitude] = prediction;
    if (!coder.code(differs[offset][magnitude][activity], residual != 0)) return 0;
    const bool is_away = coder.code(away[offset][activity], residual < 0);
    const int rest = code_rest(coder, activity, std::abs(residual) - 1);
    return is_away ? -1 - rest : 1 + rest;
  }

 private:
  template <typename Coder>
  int code_rest(Coder& coder, size_t activity, int rest) {
    for (int i = 0; i < static_cast<int>(kUnary); ++i) {
      if (!coder.code(longer[activity][i], rest > i)) return i;
    }
    const int above = rest - static_cast<int>(kUnary);
    unsigned node = 1;
    for (int bit = kEscapeBits - 1; bit >= 0; --bit) {
      node = node << 1 | static_cast<unsigned>(coder.code(escape[node], (above >> bit & 1) != 0));
    }
    return static_cast<int>(node - (1u << kEscapeBits)) + static_cast<int>(kUnary);
  }
};

// One level of a row of symbols.
struct Levels {
  int bits;

  int read(const uint8_t* symbols, size_t i) const {
    if (bits == 8) return symbols[i];
    return symbols[i / 2] >> (4 * (i & 1)) & 15;
  }

  // In order: the first level of a symbol clears the rest of it.
  void write(uint8_t* symbols, size_t i, int level) const {
    if (bits == 8) {
      symbols[i] = static_cast<uint8_t>(level);
    } else if ((i & 1) == 0) {
      symbols[i / 2] = static_cast<uint8_t>(level);
    } else {
      symbols[i / 2] = static_cast<uint8_t>(symbols[i / 2] | level << 4);
    }
  }
};

// Goes through the block. `level_of(i, predicted)` is the level to code, which a decoder ignores;
// `take(i, level)` gets the one that was coded, and false from it ends the walk.
template <typename Coder, typename LevelOf, typename Take>
void walk(const ResidualBlock& block, Coder& coder, const LevelOf& level_of, const Take& take) {
  const ResidualGrids& grids = block.grids;
  const Levels levels{grids.bits};
  ResidualModel model;
  std::vector<uint8_t> above(std::min(grids.columns, block.first_column + block.weights));
  size_t column = block.first_column;
  size_t row = 0;
  int left = 0;
  for (size_t i = 0; i < block.weights; ++i) {
    const int32_t ratio = grids.ratios[grids.ratios.size() == 1 ? 0 : row];
    const Prediction prediction = predict(grids, ratio, levels.read(block.base, i));
    const size_t activity = activity_of(left, above[column]);
    const int wanted = (level_of(i) - prediction.level) * prediction.side;
    const int residual = model.code(coder, prediction, activity, wanted);
    if (!take(i, prediction.level + residual * prediction.side)) return;
    left = std::min(std::abs(residual), kMostKept);
    above[column] = static_cast<uint8_t>(left);
    if (++column < grids.columns) continue;
    column = 0;
    left = 0;
    ++row;
  }
}

}  // namespace

size_t residual_rows(size_t columns, size_t first_column, size_t weights) {
  return (first_column + weights + columns - 1) / columns;
}

std::vector<uint8_t> encode_residuals(const ResidualBlock& block, const uint8_t* target) {
  const Levels levels{block.grids.bits};
  RangeEncoder encoder;
  walk(
      block, encoder, [&](size_t i) { return levels.read(target, i); },
      [](size_t, int) { return true; });
  return encoder.finish();
}

void decode_residuals(const ResidualBlock& block, std::span<const uint8_t> coded, uint8_t* target) {
  const Levels levels{block.grids.bits};
  const int most = (1 << levels.bits) - 1;
  RangeDecoder decoder(coded);
  bool fits = true;
  walk(
      block, decoder, [](size_t) { return 0; },
      [&](size_t i, int level) {
        fits = level >= 0 && level <= most;
        if (fits) levels.write(target, i, level);
        return fits;
      });
  if (fits && decoder.ended_well()) return;
  throw CodecFailure{"CorruptSegment", "the residuals are not what an encoder wrote", std::nullopt};
}

}  // namespace entrofleet
