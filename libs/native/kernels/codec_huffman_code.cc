#include <algorithm>
#include <vector>

#include "kernels/codec_huffman.h"

namespace entrofleet {
namespace {

// A coin of the package-merge method: a symbol, or two coins of the row before.
struct Coin {
  uint64_t weight;
  int symbol;  // -1 for a package
  int left;
  int right;
};

std::vector<Coin> leaves_of(const Histogram& histogram) {
  std::vector<Coin> leaves;
  for (int s = 0; s < 256; ++s) {
    const uint64_t weight = histogram[static_cast<size_t>(s)];
    if (weight > 0) leaves.push_back({weight, s, -1, -1});
  }
  std::stable_sort(leaves.begin(), leaves.end(),
                   [](const Coin& a, const Coin& b) { return a.weight < b.weight; });
  return leaves;
}

std::vector<Coin> merge_row(const std::vector<Coin>& leaves, const std::vector<Coin>& previous) {
  std::vector<Coin> row;
  row.reserve(leaves.size() + previous.size() / 2);
  size_t leaf = 0, pair = 0;
  const size_t pairs = previous.size() / 2;
  while (leaf < leaves.size() || pair < pairs) {
    const uint64_t packed =
        pair < pairs ? previous[2 * pair].weight + previous[2 * pair + 1].weight : 0;
    if (pair == pairs || (leaf < leaves.size() && leaves[leaf].weight <= packed)) {
      row.push_back(leaves[leaf++]);
    } else {
      row.push_back({packed, -1, static_cast<int>(2 * pair), static_cast<int>(2 * pair + 1)});
      ++pair;
    }
  }
  return row;
}

void count_symbols(const std::vector<std::vector<Coin>>& rows, size_t row, int index,
                   CodeLengths& lengths) {
  const Coin& coin = rows[row][static_cast<size_t>(index)];
  if (coin.symbol >= 0) {
    ++lengths[static_cast<size_t>(coin.symbol)];
    return;
  }
  count_symbols(rows, row - 1, coin.left, lengths);
  count_symbols(rows, row - 1, coin.right, lengths);
}

}  // namespace

CodeLengths choose_code_lengths(const Histogram& histogram) {
  CodeLengths lengths{};
  const std::vector<Coin> leaves = leaves_of(histogram);
  if (leaves.empty()) return lengths;
  if (leaves.size() == 1) {
    lengths[static_cast<size_t>(leaves[0].symbol)] = 1;
    return lengths;
  }
  std::vector<std::vector<Coin>> rows{leaves};
  for (int level = 1; level < kCodeLengthMax; ++level) {
    rows.push_back(merge_row(leaves, rows.back()));
  }
  // The cheapest 2n - 2 coins of the last row; a symbol's length is how often it occurs in them.
  for (size_t i = 0; i < 2 * leaves.size() - 2; ++i) {
    count_symbols(rows, rows.size() - 1, static_cast<int>(i), lengths);
  }
  return lengths;
}

bool code_lengths_valid(const CodeLengths& lengths) {
  uint32_t kraft = 0;
  int used = 0;
  for (uint8_t length : lengths) {
    if (length > kCodeLengthMax) return false;
    if (length == 0) continue;
    ++used;
    kraft += 1u << (kCodeLengthMax - length);
  }
  if (used == 1) return kraft == 1u << (kCodeLengthMax - 1);
  return kraft == 1u << kCodeLengthMax;
}

}  // namespace entrofleet
