// Which tuples of a matrix's symbols get a code (Codebook in window_format.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/engine_kernels.h"

namespace entrofleet {

// Symbols of the same place of four steps that follow each other.
using FourSymbols = std::array<uint8_t, 4>;

// Blocks of rows from all over a matrix are enough for a sample.
constexpr size_t kSampledBlocks = 16;

// A sample of a matrix, in fours. Only whole tiles of 32 columns are looked at.
class TupleSample {
 public:
  // Takes some of a block of up to kWindowRows rows.
  void add(const SymbolBlock& block);

  bool empty() const { return fours_.empty(); }
  const std::vector<FourSymbols>& fours() const { return fours_; }

 private:
  std::vector<FourSymbols> fours_;
};

// A codebook with what packing needs. Immutable once made.
class CodebookCoder {
 public:
  // Whether a codebook may be worth its exceptions: a quick look that spares most 8-bit matrices,
  // whose levels lie too far apart, the search for one while they load.
  static bool may_pay(const TupleSample& sample, unsigned symbol_bits);

  // The cheapest codebook for a matrix of which `sample`, which is not empty, was taken.
  CodebookCoder(const TupleSample& sample, unsigned symbol_bits);

  const Codebook& codebook() const { return codebook_; }
  CodebookCodes codes() const { return {&codebook_, codes_.data(), range_low_}; }

  // What a weight of the block would cost (window_choice.h), by a sample.
  double cost(const SymbolBlock& block) const;

 private:
  struct CountedTuple {
    uint32_t key;
    uint32_t count;
  };
  // The tuples of a sample, fillers first and then by falling count.
  struct RankedTuples {
    std::vector<CountedTuple> tuples;
    size_t keys = 0;       // that there may be
    uint32_t fillers = 0;  // the key of nothing but fillers
    uint64_t outside = 0;  // symbols too far away for a key
    size_t symbols = 0;
  };

  RankedTuples rank(const TupleSample& sample) const;
  double choose(const RankedTuples& ranked, unsigned index_bits);
  void fill_codes(uint32_t fillers);
  uint32_t key_of(const uint8_t* symbols) const;
  unsigned missed_by(const FourSymbols& symbols) const;
  unsigned key_bits() const { return codebook_.tuple == 2 ? 5 : 4; }

  Codebook codebook_{};
  uint8_t range_low_ = 0;
  // By key: the index, and how many of the tuple's symbols it does not give.
  std::vector<uint8_t> codes_;
  std::vector<uint8_t> missed_;
};

}  // namespace entrofleet
