#include "kernels/window_codebook.h"

#include <algorithm>
#include <numeric>

#include "kernels/window_choice.h"

namespace entrofleet {
namespace {

// Symbols of pairs lie in a range of 32, so that a key has ten bits; others become exceptions.
constexpr size_t kPairRange = 32;
// A matrix's sample is enough for the 256 commonest of 65536 tuples; a group's for its share of
// exceptions.
constexpr size_t kSampledFours = size_t{1} << 14;
constexpr size_t kSampledTiles = 48;
constexpr size_t kFourSteps = 4;
constexpr size_t kTileFours = kTileSymbols / kWindowRows / kFourSteps;
// Of a symbol in the smallest pairs.
constexpr double kLeastPairBits = 2.5;

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

uint8_t commonest_symbol(const std::array<uint64_t, 256>& counts) {
  return static_cast<uint8_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

// Where the range of most symbols begins that has the filler in it.
uint8_t best_range(const std::array<uint64_t, 256>& counts, size_t filler) {
  uint64_t most = 0;
  size_t best = 0;
  const size_t last = std::min(filler, counts.size() - kPairRange);
  for (size_t low = filler < kPairRange ? 0 : filler - kPairRange + 1; low <= last; ++low) {
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

bool CodebookCoder::may_pay(const TupleSample& sample, unsigned symbol_bits) {
  if (symbol_bits != 8) return true;
  const std::array<uint64_t, 256> counts = count_symbols_of(sample);
  const size_t low = best_range(counts, commonest_symbol(counts));
  const auto from = counts.begin() + static_cast<ptrdiff_t>(low);
  const uint64_t inside =
      std::accumulate(from, from + static_cast<ptrdiff_t>(kPairRange), uint64_t{0});
  const double symbols = static_cast<double>(kFourSteps * sample.fours().size());
  // Symbols outside the range of pairs are exceptions whatever the codebook.
  const double outside = 1 - static_cast<double>(inside) / symbols;
  return cost_of({kLeastPairBits, kCodeWork}, outside) <
         cost_of({static_cast<double>(symbol_bits), kWindowWork}, 0);
}

CodebookCoder::CodebookCoder(const TupleSample& sample, unsigned symbol_bits) {
  const std::array<uint64_t, 256> counts = count_symbols_of(sample);
  codebook_.filler = commonest_symbol(counts);
  const auto take_tuples_of = [&](unsigned tuple) {
    codebook_.tuple = static_cast<uint8_t>(tuple);
    range_low_ = tuple == 2 ? best_range(counts, codebook_.filler) : 0;
  };
  double least = 0;
  unsigned best = 0;
  take_tuples_of(2);
  const RankedTuples pairs = rank(sample);
  // A pair of nibbles with eight bits is no gain.
  for (unsigned index_bits = 5; index_bits <= (symbol_bits == 8 ? 8 : 7); ++index_bits) {
    const double cost = choose(pairs, index_bits);
    if (best != 0 && cost >= least) continue;
    least = cost;
    best = index_bits;
  }
  if (symbol_bits == 4) {
    take_tuples_of(4);
    if (choose(rank(sample), 8) < least) return;
    take_tuples_of(2);
  }
  if (codebook_.index_bits != best) choose(pairs, best);
}

// Symbols outside the range count as the filler.
uint32_t CodebookCoder::key_of(const uint8_t* symbols) const {
  uint32_t key = 0;
  for (unsigned i = 0; i < codebook_.tuple; ++i) {
    const unsigned offset = static_cast<uint8_t>(symbols[i] - range_low_);
    const bool inside = offset >> key_bits() == 0;
    key |= (inside ? offset : static_cast<unsigned>(codebook_.filler - range_low_))
           << (key_bits() * i);
  }
  return key;
}

CodebookCoder::RankedTuples CodebookCoder::rank(const TupleSample& sample) const {
  RankedTuples ranked;
  std::vector<uint32_t> frequencies(size_t{1} << (key_bits() * codebook_.tuple));
  for (const FourSymbols& four : sample.fours()) {
    for (size_t i = 0; i < four.size(); i += codebook_.tuple) {
      ++frequencies[key_of(four.data() + i)];
    }
    for (const uint8_t symbol : four) {
      ranked.outside += static_cast<uint8_t>(symbol - range_low_) >> key_bits() != 0;
    }
  }
  ranked.keys = frequencies.size();
  ranked.symbols = kFourSteps * sample.fours().size();
  for (unsigned i = 0; i < codebook_.tuple; ++i) {
    ranked.fillers |= static_cast<uint32_t>(codebook_.filler - range_low_) << (key_bits() * i);
  }
  for (uint32_t key = 0; key < frequencies.size(); ++key) {
    if (frequencies[key] > 0 || key == ranked.fillers) {
      ranked.tuples.push_back({key, frequencies[key]});
    }
  }
  std::sort(ranked.tuples.begin(), ranked.tuples.end(),
            [&](const CountedTuple& a, const CountedTuple& b) {
              if ((a.key == ranked.fillers) != (b.key == ranked.fillers)) {
                return a.key == ranked.fillers;
              }
              return a.count != b.count ? a.count > b.count : a.key < b.key;
            });
  return ranked;
}

// The commonest tuples get the indices. Returns the cost of a weight.
double CodebookCoder::choose(const RankedTuples& ranked, unsigned index_bits) {
  const unsigned tuple = codebook_.tuple;
  codebook_.index_bits = static_cast<uint8_t>(index_bits);
  constexpr uint8_t kUnknown = 255;
  codes_.assign(ranked.keys, 0);
  missed_.assign(ranked.keys, kUnknown);
  const size_t entries = std::min(size_t{1} << index_bits, ranked.tuples.size());
  const uint32_t digit = (1u << key_bits()) - 1;
  for (size_t i = 0; i < Codebook::kEntries; ++i) {
    const uint32_t key = ranked.tuples[i % entries].key;
    const auto symbol = [&](unsigned k) {
      return static_cast<uint8_t>((key >> (key_bits() * k) & digit) + range_low_);
    };
    codebook_.first[i] =
        tuple == 2 ? symbol(0) : static_cast<uint8_t>(symbol(0) | symbol(1) << 4);
    codebook_.second[i] =
        tuple == 2 ? symbol(1) : static_cast<uint8_t>(symbol(2) | symbol(3) << 4);
    if (i >= entries) continue;
    codes_[key] = static_cast<uint8_t>(i);
    missed_[key] = 0;
  }
  fill_codes(ranked.fillers);
  uint64_t missed = ranked.outside;
  for (const CountedTuple& each : ranked.tuples) missed += uint64_t{each.count} * missed_[each.key];
  return cost_of({static_cast<double>(index_bits) / tuple, kCodeWork},
                 static_cast<double>(missed) / static_cast<double>(ranked.symbols));
}

// Every other tuple gets the index of one that agrees with it but for some fillers, as few as can
// be. With keys taken relative to the fillers' a symbol is replaced by clearing its digit, so the
// key that results is smaller and has been dealt with.
void CodebookCoder::fill_codes(uint32_t fillers) {
  const uint32_t digit = (1u << key_bits()) - 1;
  for (uint32_t relative = 1; relative < codes_.size(); ++relative) {
    const uint32_t key = relative ^ fillers;
    if (missed_[key] == 0) continue;
    for (unsigned i = 0; i < codebook_.tuple; ++i) {
      const uint32_t place = digit << (key_bits() * i);
      if ((relative & place) == 0) continue;
      const uint32_t instead = (relative & ~place) ^ fillers;
      if (missed_[instead] + 1 >= missed_[key]) continue;
      missed_[key] = static_cast<uint8_t>(missed_[instead] + 1);
      codes_[key] = codes_[instead];
    }
  }
}

// How many of four symbols become exceptions.
unsigned CodebookCoder::missed_by(const FourSymbols& symbols) const {
  unsigned missed = 0;
  for (size_t i = 0; i < symbols.size(); i += codebook_.tuple) {
    missed += missed_[key_of(symbols.data() + i)];
  }
  for (const uint8_t symbol : symbols) {
    missed += static_cast<uint8_t>(symbol - range_low_) >> key_bits() != 0;
  }
  return missed;
}

double CodebookCoder::cost(const SymbolBlock& block) const {
  const size_t tiles = block.columns / kTileColumns;
  uint64_t missed = 0;
  uint64_t seen = 0;
  const size_t stride = std::max<size_t>(1, block.rows * tiles / kSampledTiles);
  for (size_t i = 0; i < block.rows * tiles; i += stride) {
    const size_t row = i / tiles;
    for_each_four(block.symbols + row * block.row_stride, (i + row * 5) % tiles,
                  [&](const FourSymbols& four) {
                    missed += missed_by(four);
                    seen += four.size();
                  });
  }
  const double share = seen == 0 ? 1 : static_cast<double>(missed) / static_cast<double>(seen);
  const double bits = static_cast<double>(codebook_.index_bits) / codebook_.tuple;
  return cost_of({bits, kCodeWork}, share);
}

}  // namespace entrofleet
