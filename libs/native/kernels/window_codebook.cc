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
constexpr size_t kSampledFours = size_t{1} << 16;
constexpr size_t kSampledTiles = 256;
constexpr size_t kFourSteps = 4;
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
  for (size_t r = 0; r < block.rows; ++r) {
    // Other columns in each row, for columns differ in scale.
    for (size_t tile = r % 4; tile < tiles && fours_.size() < kSampledFours; tile += 4) {
      for_each_four(block.symbols + r * block.row_stride, tile,
                    [&](const FourSymbols& four) { fours_.push_back(four); });
    }
  }
}

bool CodebookCoder::may_pay(const TupleSample& sample, unsigned symbol_bits) {
  if (symbol_bits != 8) return true;
  std::array<uint64_t, 256> counts{};
  for (const FourSymbols& four : sample.fours()) {
    for (const uint8_t symbol : four) ++counts[symbol];
  }
  const size_t low = best_range(counts, commonest_symbol(counts));
  const auto from = counts.begin() + static_cast<ptrdiff_t>(low);
  const uint64_t inside =
      std::accumulate(from, from + static_cast<ptrdiff_t>(kPairRange), uint64_t{0});
  const double symbols = static_cast<double>(kFourSteps * sample.fours().size());
  // Symbols outside the range of pairs are exceptions whatever the codebook.
  const double outside = 1 - static_cast<double>(inside) / symbols;
  return cost_of({kLeastPairBits, kCodeWork}, outside) < symbol_bits;
}

CodebookCoder::CodebookCoder(const TupleSample& sample, unsigned symbol_bits) {
  std::array<uint64_t, 256> counts{};
  for (const FourSymbols& four : sample.fours()) {
    for (const uint8_t symbol : four) ++counts[symbol];
  }
  codebook_.filler = commonest_symbol(counts);
  struct Shape {
    unsigned tuple, index_bits;
  };
  constexpr Shape kShapes[] = {{4, 8}, {2, 5}, {2, 6}, {2, 7}, {2, 8}};
  Shape best = {};
  double least = 0;
  for (const Shape& shape : kShapes) {
    // Fours are nibbles, and a pair of nibbles with eight bits is no gain.
    if (symbol_bits == 8 ? shape.tuple == 4 : shape.tuple == 2 && shape.index_bits == 8) continue;
    range_low_ = shape.tuple == 2 ? best_range(counts, codebook_.filler) : 0;
    const double cost = choose(sample, shape.tuple, shape.index_bits);
    if (best.tuple != 0 && cost >= least) continue;
    least = cost;
    best = shape;
  }
  range_low_ = best.tuple == 2 ? best_range(counts, codebook_.filler) : 0;
  choose(sample, best.tuple, best.index_bits);
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

// The commonest tuples get the indices. Returns the cost of a weight.
double CodebookCoder::choose(const TupleSample& sample, unsigned tuple, unsigned index_bits) {
  codebook_.tuple = static_cast<uint8_t>(tuple);
  codebook_.index_bits = static_cast<uint8_t>(index_bits);
  const unsigned bits = key_bits();
  std::vector<uint32_t> frequencies(size_t{1} << (bits * tuple));
  for (const FourSymbols& four : sample.fours()) {
    for (size_t i = 0; i < four.size(); i += tuple) ++frequencies[key_of(four.data() + i)];
  }
  uint32_t fillers = 0;
  for (unsigned i = 0; i < tuple; ++i) {
    fillers |= static_cast<uint32_t>(codebook_.filler - range_low_) << (bits * i);
  }
  std::vector<uint32_t> order(frequencies.size());
  std::iota(order.begin(), order.end(), 0u);
  const size_t entries = size_t{1} << index_bits;
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(entries), order.end(),
                    [&](uint32_t a, uint32_t b) {
                      if ((a == fillers) != (b == fillers)) return a == fillers;
                      return frequencies[a] != frequencies[b] ? frequencies[a] > frequencies[b]
                                                              : a < b;
                    });
  constexpr uint8_t kUnknown = 255;
  codes_.assign(frequencies.size(), 0);
  missed_.assign(frequencies.size(), kUnknown);
  const uint32_t digit = (1u << bits) - 1;
  for (size_t i = 0; i < Codebook::kEntries; ++i) {
    const uint32_t key = order[i % entries];
    const auto symbol = [&](unsigned k) {
      return static_cast<uint8_t>((key >> (bits * k) & digit) + range_low_);
    };
    codebook_.first[i] =
        tuple == 2 ? symbol(0) : static_cast<uint8_t>(symbol(0) | symbol(1) << 4);
    codebook_.second[i] =
        tuple == 2 ? symbol(1) : static_cast<uint8_t>(symbol(2) | symbol(3) << 4);
    if (i >= entries) continue;
    codes_[key] = static_cast<uint8_t>(i);
    missed_[key] = 0;
  }
  fill_codes(fillers);
  uint64_t missed = 0;
  for (const FourSymbols& four : sample.fours()) missed += missed_by(four);
  const double seen = kFourSteps * static_cast<double>(sample.fours().size());
  return cost_of({static_cast<double>(index_bits) / tuple, kCodeWork},
                 static_cast<double>(missed) / seen);
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
