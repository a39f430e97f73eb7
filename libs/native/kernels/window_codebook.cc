#include "kernels/window_codebook.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "kernels/codec_entropy.h"
#include "kernels/window_choice.h"

namespace entrofleet {
namespace {

// Symbols of pairs lie in a range of 32, so that a key has ten bits; pairs with others are written.
constexpr size_t kPairRange = 32;
// A matrix's sample is enough for the 510 commonest of 65536 tuples; a group's for its share of
// literals.
constexpr size_t kSampledFours = size_t{1} << 14;
constexpr size_t kSampledTiles = 48;
constexpr size_t kFourSteps = 4;
constexpr size_t kTileFours = kTileSymbols / kWindowRows / kFourSteps;
// The tables name 510 pairs, and so many are typical of symbols of half as many bits as it takes to
// tell them apart.
constexpr double kMostPairEntropy = 4.5;
constexpr size_t kFarTuples = Codebook::kFarEscape;

constexpr unsigned key_bits(unsigned tuple) { return tuple == 2 ? 5 : 4; }

// Nothing for a tuple with a symbol too far from range_low.
std::optional<uint32_t> key_of(const uint8_t* symbols, unsigned tuple, uint8_t range_low) {
  uint32_t key = 0;
  for (unsigned i = 0; i < tuple; ++i) {
    const unsigned offset = static_cast<uint8_t>(symbols[i] - range_low);
    if (offset >> key_bits(tuple) != 0) return std::nullopt;
    key |= offset << (key_bits(tuple) * i);
  }
  return key;
}

// Calls visit(four) with each four of tile `tile` of a row.
template <typename Visit>
void for_each_four(const uint8_t* row, size_t tile, const Visit& visit) {
  for (size_t step = 0; step < kTileSteps; step += kFourSteps) {
    const uint8_t* const from = row + tile * kTileColumns + step * kStepColumns;
    for (size_t c = 0; c < kStepColumns; ++c) {
      visit(FourSymbols{from[c], from[kStepColumns + c], from[2 * kStepColumns + c],
                        from[3 * kStepColumns + c]});
    }
  }
}

std::array<uint64_t, 256> count_symbols_of(const TupleSample& sample) {
  std::array<uint64_t, 256> counts{};
  for (const FourSymbols& four : sample.fours()) {
    for (const uint8_t symbol : four) ++counts[symbol];
  }
  return counts;
}

// Where the range begins that has most symbols.
uint8_t best_range(const std::array<uint64_t, 256>& counts) {
  uint64_t most = 0;
  size_t best = 0;
  for (size_t low = 0; low + kPairRange <= counts.size(); ++low) {
    const auto from = counts.begin() + static_cast<ptrdiff_t>(low);
    const uint64_t inside =
        std::accumulate(from, from + static_cast<ptrdiff_t>(kPairRange), uint64_t{0});
    if (inside <= most) continue;
    most = inside;
    best = low;
  }
  return static_cast<uint8_t>(best);
}

}  // namespace

void TupleSample::add(const SymbolBlock& block) {
  const size_t tiles = block.columns / kTileColumns;
  if (tiles == 0) return;
  constexpr size_t kRowTiles = kSampledFours / (kSampledBlocks * kWindowRows * kTileFours);
  const size_t of_row = std::min(tiles, kRowTiles);
  for (size_t r = 0; r < block.rows; ++r) {
    for (size_t i = 0; i < of_row; ++i) {
      // Other columns in each row, for columns differ in scale.
      const size_t tile = (i * tiles / of_row + r) % tiles;
      for_each_four(block.symbols + r * block.row_stride, tile,
                    [&](const FourSymbols& four) { fours_.push_back(four); });
    }
  }
}

bool CodebookCoder::may_pay(const TupleSample& sample) {
  const std::array<uint64_t, 256> counts = count_symbols_of(sample);
  return entropy_bits(counts.data(), counts.size()) <= kMostPairEntropy;
}

CodebookCoder::CodebookCoder(const TupleSample& sample, unsigned symbol_bits) {
  RankedTuples ranked[2] = {rank(sample, 2, best_range(count_symbols_of(sample))), {}};
  if (symbol_bits == 4) ranked[1] = rank(sample, 4, 0);
  const RankedTuples* best = nullptr;
  unsigned best_bits = 0;
  double least = 0;
  for (const RankedTuples& of : ranked) {
    for (unsigned bits = kLeastIndexBits; of.total > 0 && bits <= kMostIndexBits; ++bits) {
      const double cost = cost_of(of.tuple, bits, shares_of(of, bits));
      if (best != nullptr && cost >= least) continue;
      least = cost;
      best = &of;
      best_bits = bits;
    }
  }
  make(*best, best_bits);
}

CodebookCoder::RankedTuples CodebookCoder::rank(const TupleSample& sample, unsigned tuple,
                                                uint8_t range_low) {
  RankedTuples ranked = {tuple, range_low, kFourSteps / tuple * sample.fours().size(), {}};
  std::vector<uint32_t> counts(size_t{1} << (key_bits(tuple) * tuple));
  for (const FourSymbols& four : sample.fours()) {
    for (size_t i = 0; i < four.size(); i += tuple) {
      if (const auto key = key_of(four.data() + i, tuple, range_low)) ++counts[*key];
    }
  }
  for (uint32_t key = 0; key < counts.size(); ++key) {
    if (counts[key] > 0) ranked.counted.push_back({key, counts[key]});
  }
  std::sort(ranked.counted.begin(), ranked.counted.end(),
            [](const CountedTuple& a, const CountedTuple& b) {
              return a.count != b.count ? a.count > b.count : a.key < b.key;
            });
  return ranked;
}

CodebookCoder::Shares CodebookCoder::shares_of(const RankedTuples& ranked, unsigned index_bits) {
  const size_t near = (size_t{1} << index_bits) - 1;
  size_t left[2] = {ranked.total, ranked.total};
  for (size_t i = 0; i < std::min(near + kFarTuples, ranked.counted.size()); ++i) {
    if (i < near) left[0] -= ranked.counted[i].count;
    left[1] -= ranked.counted[i].count;
  }
  const double total = static_cast<double>(ranked.total);
  return {static_cast<double>(left[0]) / total, static_cast<double>(left[1]) / total};
}

double CodebookCoder::cost_of(unsigned tuple, unsigned index_bits, const Shares& shares) {
  const double bits = index_bits + kLiteralBits * shares.literal + kWrittenBits * shares.written;
  const double work = tuple == 2 ? kPairWork : kFourWork[index_bits - kLeastIndexBits];
  return WeightCost{bits / tuple, work + kLiteralWork * shares.literal / tuple}.total();
}

// The commonest tuples get the indices, and those after them the far ones.
void CodebookCoder::make(const RankedTuples& ranked, unsigned index_bits) {
  const unsigned tuple = ranked.tuple;
  codebook_.tuple = static_cast<uint8_t>(tuple);
  codebook_.index_bits = static_cast<uint8_t>(index_bits);
  range_low_ = ranked.range_low;
  const size_t keys = size_t{1} << (key_bits(tuple) * tuple);
  near_.assign(keys, codebook_.escape());
  far_.assign(keys, Codebook::kFarEscape);
  const uint32_t digit = (1u << key_bits(tuple)) - 1;
  const size_t near = codebook_.escape();
  for (size_t i = 0; i < std::min(near + kFarTuples, ranked.counted.size()); ++i) {
    const uint32_t key = ranked.counted[i].key;
    const auto symbol = [&](unsigned k) {
      return static_cast<uint8_t>((key >> (key_bits(tuple) * k) & digit) + range_low_);
    };
    const size_t at = i < near ? i : i - near;
    Codebook::Table& table = i < near ? codebook_.near : codebook_.far;
    table.first[at] = tuple == 2 ? symbol(0) : static_cast<uint8_t>(symbol(0) | symbol(1) << 4);
    table.second[at] = tuple == 2 ? symbol(1) : static_cast<uint8_t>(symbol(2) | symbol(3) << 4);
    (i < near ? near_ : far_)[key] = static_cast<uint8_t>(at);
  }
}

double CodebookCoder::cost(const SymbolBlock& block) const {
  const unsigned tuple = codebook_.tuple;
  const size_t tiles = block.columns / kTileColumns;
  size_t seen = 0;
  size_t literals = 0;
  size_t written = 0;
  const size_t stride = std::max<size_t>(1, block.rows * tiles / kSampledTiles);
  for (size_t i = 0; i < block.rows * tiles; i += stride) {
    const size_t row = i / tiles;
    for_each_four(block.symbols + row * block.row_stride, (i + row * 5) % tiles,
                  [&](const FourSymbols& four) {
                    for (size_t k = 0; k < four.size(); k += tuple) {
                      const auto key = key_of(four.data() + k, tuple, range_low_);
                      const bool near = key && near_[*key] != codebook_.escape();
                      literals += !near;
                      written += !near && !(key && far_[*key] != Codebook::kFarEscape);
                      ++seen;
                    }
                  });
  }
  if (seen == 0) return cost_of(tuple, codebook_.index_bits, {1, 1});
  const double total = static_cast<double>(seen);
  return cost_of(tuple, codebook_.index_bits,
                 {static_cast<double>(literals) / total, static_cast<double>(written) / total});
}

}  // namespace entrofleet
