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
  // Whether a codebook may be worth its literals: a quick look that spares most 8-bit matrices,
  // whose levels lie too far apart, the search for one while they load.
  static bool may_pay(const TupleSample& sample);

  // The cheapest codebook for a matrix of which `sample`, which is not empty, was taken.
  CodebookCoder(const TupleSample& sample, unsigned symbol_bits);

  const Codebook& codebook() const { return codebook_; }
  CodebookCodes codes() const { return {&codebook_, near_.data(), far_.data(), range_low_}; }

  // What a weight of the block would cost (window_choice.h), by a sample.
  double cost(const SymbolBlock& block) const;

 private:
  struct CountedTuple {
    uint32_t key;
    uint32_t count;
  };
  // The tuples of a sample that have a key, by falling count.
  struct RankedTuples {
    unsigned tuple;
    uint8_t range_low;
    size_t total;  // with those that have none
    std::vector<CountedTuple> counted;
  };
  // Of tuples: those that are not near, and those that are not far either.
  struct Shares {
    double literal;
    double written;
  };

  static RankedTuples rank(const TupleSample& sample, unsigned tuple, uint8_t range_low);
  static Shares shares_of(const RankedTuples& ranked, unsigned index_bits);
  static double cost_of(unsigned tuple, unsigned index_bits, const Shares& shares);
  void make(const RankedTuples& ranked, unsigned index_bits);

  Codebook codebook_{};
  uint8_t range_low_ = 0;
  // By key, see CodebookCodes.
  std::vector<uint8_t> near_;
  std::vector<uint8_t> far_;
};

}  // namespace entrofleet
