#include "kernels/codec_lanes.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "kernels/codec_failure.h"

namespace entrofleet {
namespace {

constexpr size_t kSymbols = 256;
constexpr uint8_t kZigzagForm = 0;
constexpr uint8_t kListedForm = 1;
constexpr size_t kListedBytes = 1 + kSymbols / 2;
// Listed codes are worth it from one part in this many, since other orders decode faster where a
// table of 256 entries takes many registers.
constexpr uint64_t kListedGain = 1024;

using Order = std::array<uint8_t, kSymbols>;

// How many of the kPrefixes prefixes an item takes, and how many ranks it codes.
size_t prefixes_of(int length) { return kPrefixes >> std::min(length, kPrefixBits); }

// The item that reaches past the last rank codes fewer.
size_t ranks_of(int length) {
  return length <= kPrefixBits ? 1 : size_t{1} << (length - kPrefixBits);
}

size_t ranks_after(size_t first, int length) {
  return std::min(first + ranks_of(length), kSymbols);
}

[[noreturn]] void refuse(const std::string& why) {
  throw CodecFailure{"BadCodeTable", "the lane code " + why, std::nullopt};
}

Order zigzag_order(uint8_t centre) {
  Order order;
  for (unsigned rank = 0; rank < kSymbols; ++rank) {
    const unsigned distance = rank % 2 == 0 ? rank / 2 : ~(rank / 2);
    order[rank] = static_cast<uint8_t>(centre + distance);
  }
  return order;
}

Order frequency_order(const Histogram& counts) {
  Order order;
  std::iota(order.begin(), order.end(), uint8_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](uint8_t a, uint8_t b) { return counts[a] > counts[b]; });
  return order;
}

// The first symbol with which half of all are counted.
uint8_t median_symbol(const Histogram& counts) {
  const uint64_t total = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  uint64_t sum = 0;
  for (size_t symbol = 0; symbol < kSymbols; ++symbol) {
    sum += counts[symbol];
    if (2 * sum >= total) return static_cast<uint8_t>(symbol);
  }
  return 0;
}

struct PricedItems {
  // Bits that all symbols take.
  uint64_t bits;
  std::vector<uint8_t> lengths;
};

// The cheapest items for symbols in this order, by dynamic programming over how many ranks are
// coded and how many prefixes that takes. All prefixes must be taken, so that any bits decode;
// ranks past the last symbol that occurs fill items up.
class ItemSearch {
 public:
  ItemSearch(const Histogram& counts, const Order& order) {
    sums_[0] = 0;
    for (size_t rank = 0; rank < kSymbols; ++rank) {
      const uint64_t count = counts[order[rank]];
      sums_[rank + 1] = sums_[rank] + count;
      if (count != 0) least_ranks_ = rank + 1;
    }
  }

  PricedItems run() {
    if (least_ranks_ <= 1) return {0, {0}};
    for (auto& by_prefixes : bits_) by_prefixes.fill(kUnreached);
    bits_[0][0] = 0;
    for (size_t ranks = 0; ranks < kSymbols; ++ranks) {
      for (int length = 1; length <= kMostLaneCodeBits; ++length) extend(ranks, length);
    }
    size_t best = least_ranks_;
    for (size_t ranks = least_ranks_; ranks <= kSymbols; ++ranks) {
      if (bits_[ranks][kPrefixes] < bits_[best][kPrefixes]) best = ranks;
    }
    return {bits_[best][kPrefixes], path_to(best)};
  }

 private:
  // Adding the bits of all symbols does not overflow.
  static constexpr uint64_t kUnreached = uint64_t{1} << 63;

  uint64_t cost(size_t first, size_t after, int length) const {
    return (sums_[after] - sums_[first]) * static_cast<uint64_t>(length);
  }

  void extend(size_t ranks, int length) {
    const size_t after = ranks_after(ranks, length);
    const size_t taken = prefixes_of(length);
    const uint64_t more = cost(ranks, after, length);
    const uint64_t* const from = bits_[ranks].data();
    uint64_t* const to = bits_[after].data() + taken;
    for (size_t prefixes = 0; prefixes + taken <= kPrefixes; ++prefixes) {
      to[prefixes] = std::min(to[prefixes], from[prefixes] + more);
    }
  }

  // Of equally cheap last items, the one with the fewest ranks before it, and then the shortest.
  std::vector<uint8_t> path_to(size_t ranks) const {
    std::vector<uint8_t> lengths;
    for (size_t prefixes = kPrefixes; ranks > 0;) {
      const auto [before, length] = last_item(ranks, prefixes);
      lengths.push_back(static_cast<uint8_t>(length));
      ranks = before;
      prefixes -= prefixes_of(length);
    }
    std::reverse(lengths.begin(), lengths.end());
    return lengths;
  }

  std::pair<size_t, int> last_item(size_t ranks, size_t prefixes) const {
    const size_t most = std::min(ranks, ranks_of(kMostLaneCodeBits));
    for (size_t before = ranks - most; before < ranks; ++before) {
      // Only the item that reaches past the last rank is not full.
      if (ranks < kSymbols && !std::has_single_bit(ranks - before)) continue;
      for (int length = 1; length <= kMostLaneCodeBits; ++length) {
        const size_t taken = prefixes_of(length);
        if (ranks_after(before, length) != ranks || taken > prefixes) continue;
        const uint64_t bits = bits_[before][prefixes - taken] + cost(before, ranks, length);
        if (bits == bits_[ranks][prefixes]) return {before, length};
      }
    }
    // Every state that was reached was so by an item.
    std::abort();
  }

  uint64_t sums_[kSymbols + 1];
  size_t least_ranks_ = 0;
  std::vector<std::array<uint64_t, kPrefixes + 1>> bits_ =
      std::vector<std::array<uint64_t, kPrefixes + 1>>(kSymbols + 1);
};

// The median is where both sides hold as much, but the zigzag begins below its centre, so the
// symbol after it may serve better.
LaneCode best_zigzag(const Histogram& counts, uint64_t* bits) {
  const uint8_t median = median_symbol(counts);
  LaneCode best;
  for (const unsigned step : {0u, 1u}) {
    const uint8_t centre = static_cast<uint8_t>(median + step);
    const Order order = zigzag_order(centre);
    PricedItems items = ItemSearch(counts, order).run();
    if (step != 0 && items.bits >= *bits) continue;
    *bits = items.bits;
    best = {false, centre, std::move(items.lengths), {order.begin(), order.end()}};
  }
  return best;
}

// Puts ranks in the order of their code lengths and then of their symbols.
void sort_listed(LaneCode* code) {
  std::vector<std::pair<uint8_t, uint8_t>> ranks;
  for (const uint8_t length : code->lengths) {
    const size_t after = ranks_after(ranks.size(), length);
    while (ranks.size() < after) ranks.emplace_back(length, code->symbols[ranks.size()]);
  }
  std::sort(ranks.begin(), ranks.end());
  std::sort(code->lengths.begin(), code->lengths.end());
  code->symbols.clear();
  for (const auto& [length, symbol] : ranks) code->symbols.push_back(symbol);
}

size_t zigzag_bytes(const LaneCode& code) { return 2 + (code.lengths.size() + 1) / 2; }

LaneCode read_zigzag(std::span<const uint8_t> bytes) {
  if (bytes.size() < 3) refuse("has no centre or no item");
  LaneCode code;
  code.centre = bytes[1];
  size_t prefixes = 0;
  size_t ranks = 0;
  size_t nibble = 4;
  for (; prefixes < kPrefixes; ++nibble) {
    if (nibble / 2 >= bytes.size()) refuse("is incomplete");
    const uint8_t length = bytes[nibble / 2] >> (nibble % 2 * 4) & 15;
    if (length > kMostLaneCodeBits) refuse("has a code word of over 14 bits");
    if (ranks == kSymbols) refuse("has more code words than there are symbols");
    prefixes += prefixes_of(length);
    ranks = ranks_after(ranks, length);
    code.lengths.push_back(length);
  }
  if (prefixes > kPrefixes) refuse("has more prefixes than 6 bits tell apart");
  if ((nibble + 1) / 2 != bytes.size()) refuse("goes on after its last item");
  if (nibble % 2 != 0 && bytes.back() >> 4 != 0) refuse("has padding that is not zero");
  const Order order = zigzag_order(code.centre);
  code.symbols.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(ranks));
  return code;
}

LaneCode read_listed(std::span<const uint8_t> bytes) {
  if (bytes.size() != kListedBytes) refuse("does not list 256 lengths");
  LaneCode code;
  code.listed = true;
  size_t prefixes = 0;
  for (uint8_t length = 1; length <= 15; ++length) {
    size_t ranks = 0;
    for (size_t symbol = 0; symbol < kSymbols; ++symbol) {
      if ((bytes[1 + symbol / 2] >> (symbol % 2 * 4) & 15) != length) continue;
      code.symbols.push_back(static_cast<uint8_t>(symbol));
      ++ranks;
    }
    if (ranks == 0) continue;
    if (length > kMostLaneCodeBits) refuse("has a code word of over 14 bits");
    if (ranks % ranks_of(length) != 0 && code.symbols.size() != kSymbols) {
      refuse("has an item that is not full");
    }
    const size_t items = (ranks + ranks_of(length) - 1) / ranks_of(length);
    code.lengths.insert(code.lengths.end(), items, length);
    prefixes += items * prefixes_of(length);
  }
  if (prefixes != kPrefixes) refuse("is not complete");
  return code;
}

struct ItemPrefix {
  int length;
  // The prefixes that begin with this item's are `first` and every step-th after it.
  size_t first;
  size_t step;
  size_t first_rank;
};

size_t reversed_prefix(size_t prefix) {
  size_t result = 0;
  for (int bit = 0; bit < kPrefixBits; ++bit) {
    result |= (prefix >> bit & 1) << (kPrefixBits - 1 - bit);
  }
  return result;
}

// Prefixes are given out in order, short ones first, and among equal ones in the order of ranks.
std::vector<ItemPrefix> item_prefixes(const LaneCode& code) {
  std::vector<ItemPrefix> items;
  size_t rank = 0;
  for (const uint8_t length : code.lengths) {
    items.push_back({length, 0, 0, rank});
    rank = ranks_after(rank, length);
  }
  std::stable_sort(items.begin(), items.end(), [](const ItemPrefix& a, const ItemPrefix& b) {
    return std::min(a.length, kPrefixBits) < std::min(b.length, kPrefixBits);
  });
  size_t prefix = 0;
  for (ItemPrefix& item : items) {
    item.first = reversed_prefix(prefix);
    item.step = kPrefixes / prefixes_of(item.length);
    prefix += prefixes_of(item.length);
  }
  return items;
}

}  // namespace

LaneCode optimal_lane_code(const Histogram& counts) {
  uint64_t zigzag_bits = 0;
  LaneCode zigzag = best_zigzag(counts, &zigzag_bits);
  size_t ranks = 0;
  for (const uint8_t length : zigzag.lengths) ranks = ranks_after(ranks, length);
  zigzag.symbols.resize(ranks);
  if (ranks == 1) return zigzag;

  const Order order = frequency_order(counts);
  PricedItems items = ItemSearch(counts, order).run();
  const uint64_t listed_bits = items.bits + 8 * kListedBytes;
  if (zigzag_bits + 8 * zigzag_bytes(zigzag) <= listed_bits + listed_bits / kListedGain) {
    return zigzag;
  }
  LaneCode listed{true, 0, std::move(items.lengths), {order.begin(), order.end()}};
  sort_listed(&listed);
  return listed;
}

std::vector<uint8_t> lane_code_bytes(const LaneCode& code) {
  std::vector<uint8_t> bytes(code.listed ? kListedBytes : zigzag_bytes(code));
  bytes[0] = code.listed ? kListedForm : kZigzagForm;
  const auto put = [&](size_t nibble, uint8_t length) {
    bytes[nibble / 2] |= static_cast<uint8_t>(length << (nibble % 2 * 4));
  };
  if (!code.listed) {
    bytes[1] = code.centre;
    for (size_t item = 0; item < code.lengths.size(); ++item) put(4 + item, code.lengths[item]);
    return bytes;
  }
  size_t rank = 0;
  for (const uint8_t length : code.lengths) {
    for (const size_t after = ranks_after(rank, length); rank < after; ++rank) {
      put(2 + code.symbols[rank], length);
    }
  }
  return bytes;
}

LaneCode read_lane_code(std::span<const uint8_t> bytes) {
  if (bytes.empty()) refuse("is empty");
  if (bytes[0] == kZigzagForm) return read_zigzag(bytes);
  if (bytes[0] == kListedForm) return read_listed(bytes);
  refuse("has an unknown form, " + std::to_string(bytes[0]));
}

LaneDecodeTable::LaneDecodeTable(const LaneCode& code)
    : symbols{}, listed(code.listed), centre(code.centre) {
  for (const ItemPrefix& item : item_prefixes(code)) {
    for (size_t prefix = item.first; prefix < kPrefixes; prefix += item.step) {
      length[prefix] = static_cast<uint8_t>(item.length);
      mask[prefix] = static_cast<uint8_t>(ranks_of(item.length) - 1);
      base[prefix] = static_cast<uint8_t>(item.first_rank);
    }
  }
  std::copy(code.symbols.begin(), code.symbols.end(), symbols);
}

LaneEncodeTable::LaneEncodeTable(const LaneCode& code)
    : word_low{}, word_high{}, length{}, padding(code.symbols[0]) {
  for (const ItemPrefix& item : item_prefixes(code)) {
    for (size_t rank = item.first_rank; rank < ranks_after(item.first_rank, item.length); ++rank) {
      const uint8_t symbol = code.symbols[rank];
      const size_t word = item.first | (rank - item.first_rank) << kPrefixBits;
      word_low[symbol] = static_cast<uint8_t>(word);
      word_high[symbol] = static_cast<uint8_t>(word >> 8);
      length[symbol] = static_cast<uint8_t>(item.length);
    }
  }
}

}  // namespace entrofleet
