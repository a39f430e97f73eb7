#include <algorithm>
#include <memory>

#include "kernels/window_matrix.h"
#include "test/activation_rows.h"
#include "test/differential.h"

namespace entrofleet::test {
namespace {

using Guard = GuardedBytes::Guard;

// Row-major symbols of one of many shapes, 4 or 8 bits each.
std::vector<uint8_t> matrix_symbols(Random& random, size_t count, unsigned symbol_bits) {
  std::vector<uint8_t> symbols;
  while (symbols.size() < count) {
    const std::vector<uint8_t> more = random_symbols(random, 2 * count);
    symbols.insert(symbols.end(), more.begin(), more.end());
  }
  symbols.resize(count);
  if (symbol_bits == 4) {
    for (uint8_t& symbol : symbols) symbol &= 15;
  }
  // Exceptions at the edges and far apart, or a long run of them.
  if (random.one_in(3)) {
    const uint8_t greatest = symbol_bits == 4 ? 15 : 255;
    std::fill(symbols.begin(), symbols.end(), random.one_in(2) ? 0 : 7);
    for (size_t i = random.below(4); i > 0; --i) symbols[random.below(count)] = greatest;
    symbols[0] = 9;
    symbols[count - 1] = 3;
    const size_t begin = random.below(count);
    if (random.one_in(2)) std::fill(symbols.begin() + begin, symbols.end(), greatest);
  }
  return symbols;
}

Window random_window(Random& random, unsigned symbol_bits) {
  const size_t bits = 1 + random.below(symbol_bits);
  const size_t lows = (size_t{1} << symbol_bits) - (size_t{1} << bits) + 1;
  const bool escapes = bits < symbol_bits && random.one_in(2);
  return {static_cast<uint8_t>(bits), static_cast<uint8_t>(random.below(lows)), escapes};
}

// One group as it lies in a matrix, next to a page that cannot be touched.
class PackedGroup {
 public:
  PackedGroup(const EngineKernels& kernels, const SymbolBlock& block, Window window,
              unsigned symbol_bits) {
    group_.window = window;
    pack(block, [&](uint8_t* tiles, uint8_t* outside, size_t room) {
      return kernels.pack_group(block, window, symbol_bits, tiles, outside, room);
    });
  }

  PackedGroup(const EngineKernels& kernels, const SymbolBlock& block, const CodebookCodes& codes) {
    group_.codebook = codes.codebook;
    pack(block, [&](uint8_t* tiles, uint8_t* outside, size_t room) {
      return kernels.pack_coded_group(block, codes, tiles, outside, room);
    });
  }

  const WindowGroup& view() const { return group_; }
  size_t outside_bytes() const { return outside_bytes_; }
  bool operator==(const PackedGroup& other) const {
    return *memory_ == *other.memory_ &&
           group_.exception_count == other.group_.exception_count;
  }

 private:
  template <typename Pack>
  void pack(const SymbolBlock& block, const Pack& pack) {
    const size_t bytes = group_tiles(group_, block.columns) * group_tile_bytes(group_);
    const GuardedBytes tiles(bytes, Guard::kAfter);
    // Every place may be listed, and every distance bridged.
    std::vector<uint16_t> room(2 * kMostTileSymbols * tiles_across(block.columns) + 16);
    uint8_t* const outside = reinterpret_cast<uint8_t*>(room.data());
    const PackedOutside packed = pack(tiles.data(), outside, room.size() * sizeof(uint16_t));
    require_same(packed.fits, "room beside tiles");
    outside_bytes_ = packed.bytes;
    const size_t tiles_at = (packed.bytes + 63) / 64 * 64;
    memory_ = std::make_unique<GuardedBytes>(tiles_at + bytes, Guard::kAfter);
    std::memset(memory_->data(), 0, memory_->size());
    std::memcpy(memory_->data(), outside, packed.bytes);
    std::memcpy(memory_->data() + tiles_at, tiles.data(), bytes);
    group_.tiles = memory_->data() + tiles_at;
    group_.outside = memory_->data();
    group_.exception_count = packed.count;
  }

  WindowGroup group_ = {};
  size_t outside_bytes_ = 0;
  std::unique_ptr<GuardedBytes> memory_;
};

void require_round_trip(const EngineKernels& kernels, const SymbolBlock& block,
                        const PackedGroup& group, unsigned symbol_bits) {
  for (size_t r = 0; r < block.rows; ++r) {
    const GuardedBytes row(block.columns, Guard::kAfter);
    kernels.unpack_row(group.view(), symbol_bits, r, row.size(), row.data());
    require_same(std::memcmp(row.data(), block.symbols + r * block.row_stride, row.size()) == 0,
                 "row that comes back from a group");
  }
}

// Packing must see that there is no room for the last byte beside a group's tiles, and stay within.
template <typename Pack>
void require_no_room(const SymbolBlock& block, const PackedGroup& group, const Pack& pack) {
  if (group.outside_bytes() == 0) return;
  const WindowGroup& view = group.view();
  std::vector<uint8_t> tiles(group_tiles(view, block.columns) * group_tile_bytes(view) + 64);
  uint8_t* const aligned = tiles.data() + (-reinterpret_cast<uintptr_t>(tiles.data()) & 63);
  // Entries of lists lie at even addresses.
  const size_t less = view.is_listed() ? sizeof(uint16_t) : 1;
  const GuardedBytes room(group.outside_bytes() - less, Guard::kAfter);
  require_same(!pack(aligned, room.data(), room.size()).fits, "verdict of packing without room");
}

// Steps, biases and so on of a random product, with outputs that are there before.
class RandomProduct {
 public:
  RandomProduct(size_t rows, size_t positions, Random& random)
      : step_per_row_(random.one_in(2)),
        accumulate_(random.one_in(2)),
        biased_(random.one_in(2)),
        zero_point_(static_cast<float>(random.below(256))),
        output_stride_(rows + random.below(3)),
        steps_(rows),
        bias_(rows),
        before_(positions * output_stride_) {
    for (float& step : steps_) step = static_cast<float>(1 + random.below(1000)) * 0x1p-15f;
    for (float& bias : bias_) bias = static_cast<float>(random.below(1000)) - 500;
    for (float& value : before_) value = static_cast<float>(random.below(100));
  }

  std::vector<float> run(const EngineKernels& kernels, const WindowView& weights,
                         const Activations& inputs) const {
    std::vector<float> outputs = before_;
    const size_t groups = window_groups(weights.rows);
    const WindowProduct product = {&weights,
                                   &inputs,
                                   zero_point_,
                                   steps_.data(),
                                   step_per_row_,
                                   biased_ ? bias_.data() : nullptr,
                                   outputs.data(),
                                   output_stride_,
                                   accumulate_};
    alignas(64) static uint8_t scratch[kWindowScratchBytes];
    kernels.multiply_windows(product, 0, groups / 2, scratch);
    kernels.multiply_windows(product, groups / 2, groups, scratch);
    return outputs;
  }

  // What `run` must give where sums[r * positions + p] are exact.
  std::vector<float> finish(const std::vector<int64_t>& sums, const Activations& inputs) const {
    std::vector<float> outputs = before_;
    for (size_t r = 0; r < steps_.size(); ++r) {
      for (size_t p = 0; p < inputs.positions; ++p) {
        const double zero = static_cast<double>(zero_point_) * static_cast<double>(inputs.sums[p]);
        const double scale = static_cast<double>(steps_[step_per_row_ ? r : 0]) *
                             static_cast<double>(inputs.scales[p]);
        double value = scale * (static_cast<double>(sums[r * inputs.positions + p]) - zero);
        value += biased_ ? bias_[r] : 0.0f;
        float& output = outputs[p * output_stride_ + r];
        output = static_cast<float>((accumulate_ ? output : 0.0f) + value);
      }
    }
    return outputs;
  }

 private:
  bool step_per_row_;
  bool accumulate_;
  bool biased_;
  float zero_point_;
  size_t output_stride_;
  std::vector<float> steps_;
  std::vector<float> bias_;
  std::vector<float> before_;
};

// sums[r * positions + p] of row-major symbols and activations, directly.
std::vector<int64_t> exact_sums(const std::vector<uint8_t>& symbols, size_t rows, size_t columns,
                                const Activations& inputs) {
  std::vector<int64_t> sums(rows * inputs.positions);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t p = 0; p < inputs.positions; ++p) {
      for (size_t c = 0; c < columns; ++c) {
        sums[r * inputs.positions + p] +=
            int64_t{symbols[r * columns + c]} * inputs.whole[p * inputs.stride + c];
      }
    }
  }
  return sums;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

size_t random_positions(Random& random) {
  return random.one_in(2) ? 1 + random.below(5) : 1 + random.below(random.one_in(8) ? 140 : 70);
}

// Now and then the most, where sums of the greatest symbols and activations nearly fill 32 bits.
size_t product_columns(Random& random) {
  return random.one_in(100) ? kMostWindowColumns - random.below(40)
                            : 1 + random.below(random.one_in(6) ? 1200 : 150);
}

size_t random_columns(Random& random) {
  return 1 + random.below(random.one_in(6) ? 1200 : 150);
}

}  // namespace

void compare_window_groups(const EngineKernels& expected, const EngineKernels& actual,
                           Random& random) {
  const unsigned symbol_bits = random.one_in(2) ? 4 : 8;
  const size_t rows = random.one_in(2) ? kWindowRows : 1 + random.below(kWindowRows);
  const size_t columns = random_columns(random);
  const GuardedBytes symbols(matrix_symbols(random, rows * columns, symbol_bits), Guard::kAfter);
  const SymbolBlock block = {symbols.data(), columns, rows, columns};
  const Window window = random_window(random, symbol_bits);
  const PackedGroup groups[2] = {{expected, block, window, symbol_bits},
                                 {actual, block, window, symbol_bits}};
  require_same(groups[0] == groups[1], "group of pack_group");
  require_round_trip(expected, block, groups[0], symbol_bits);
  require_round_trip(actual, block, groups[0], symbol_bits);
  require_no_room(block, groups[1], [&](uint8_t* tiles, uint8_t* outside, size_t room) {
    return actual.pack_group(block, window, symbol_bits, tiles, outside, room);
  });
}

// Bell-shaped symbols with far ones among them, of which some groups become indices.
std::vector<uint8_t> bell_symbols(Random& random, size_t count, unsigned symbol_bits) {
  const size_t levels = symbol_bits == 4 ? 4 : 1 + random.below(30);
  const size_t centre = symbol_bits == 4 ? 7 : random.below(200);
  std::vector<uint8_t> symbols(count);
  for (uint8_t& symbol : symbols) {
    const size_t bell = (random.below(levels) + random.below(levels) + random.below(levels)) / 2;
    symbol = static_cast<uint8_t>(centre + bell);
    if (random.one_in(100)) symbol = static_cast<uint8_t>(random.below(256));
    if (symbol_bits == 4) symbol &= 15;
  }
  return symbols;
}

// One group with a codebook from its own sample.
void compare_coded_groups(const EngineKernels& expected, const EngineKernels& actual,
                          Random& random) {
  const unsigned symbol_bits = random.one_in(2) ? 4 : 8;
  const size_t rows = random.one_in(2) ? kWindowRows : 1 + random.below(kWindowRows);
  const size_t columns = kTileColumns + random_columns(random);
  const GuardedBytes symbols(bell_symbols(random, rows * columns, symbol_bits), Guard::kAfter);
  const SymbolBlock block = {symbols.data(), columns, rows, columns};
  TupleSample sample;
  sample.add(block);
  const CodebookCoder coder(sample, symbol_bits);
  const CodebookCodes codes = coder.codes();
  const EngineKernels* const kernels[2] = {&expected, &actual};
  const PackedGroup groups[2] = {{expected, block, codes}, {actual, block, codes}};
  require_same(groups[0] == groups[1], "group of pack_coded_group");
  require_no_room(block, groups[1], [&](uint8_t* tiles, uint8_t* outside, size_t room) {
    return actual.pack_coded_group(block, codes, tiles, outside, room);
  });
  const WindowGroup& group = groups[0].view();
  const WindowView weights = {rows, columns, symbol_bits, &group};
  const ActivationRows inputs(expected, columns, random_positions(random), random);
  const RandomProduct product(rows, inputs.view().positions, random);
  const std::vector<uint8_t> all(symbols.data(), symbols.end());
  const auto sums = exact_sums(all, rows, columns, inputs.view());
  for (const EngineKernels* const side : kernels) {
    require_round_trip(*side, block, groups[0], symbol_bits);
    require_same(same_bits(product.run(*side, weights, inputs.view()),
                           product.finish(sums, inputs.view())),
                 "exactness of multiply_windows with codes");
  }
}

void compare_window_products(const EngineKernels& expected, const EngineKernels& actual,
                             Random& random) {
  const unsigned symbol_bits = random.one_in(2) ? 4 : 8;
  const size_t columns = product_columns(random);
  const size_t rows = 1 + random.below(columns > 2000 ? 2 : random.one_in(4) ? 150 : 40);
  const std::vector<uint8_t> symbols = matrix_symbols(random, rows * columns, symbol_bits);
  std::vector<std::unique_ptr<PackedGroup>> packed;
  std::vector<WindowGroup> groups;
  for (size_t row = 0; row < rows; row += kWindowRows) {
    const SymbolBlock block = {symbols.data() + row * columns, columns,
                               std::min(kWindowRows, rows - row), columns};
    packed.push_back(std::make_unique<PackedGroup>(
        expected, block, random_window(random, symbol_bits), symbol_bits));
    groups.push_back(packed.back()->view());
  }
  const WindowView weights = {rows, columns, symbol_bits, groups.data()};
  const ActivationRows inputs(expected, columns, random_positions(random), random);
  const RandomProduct product(rows, inputs.view().positions, random);
  const std::vector<float> outputs[2] = {product.run(expected, weights, inputs.view()),
                                         product.run(actual, weights, inputs.view())};
  require_same(same_bits(outputs[0], outputs[1]), "outputs of multiply_windows");
  const auto sums = exact_sums(symbols, rows, columns, inputs.view());
  require_same(same_bits(outputs[1], product.finish(sums, inputs.view())),
               "exactness of multiply_windows");
}

void compare_window_matrices(const EngineKernels& expected, const EngineKernels& actual,
                             Random& random) {
  const unsigned symbol_bits = random.one_in(2) ? 4 : 8;
  const size_t rows = 1 + random.below(60);
  const size_t columns = random_columns(random);
  const std::vector<uint8_t> symbols = matrix_symbols(random, rows * columns, symbol_bits);
  std::vector<uint8_t> pairs((symbols.size() + 1) / 2);
  for (size_t i = 0; i < symbols.size(); ++i) {
    pairs[i / 2] = static_cast<uint8_t>(pairs[i / 2] | symbols[i] << (4 * (i % 2)));
  }
  const bool paired = symbol_bits == 4 && random.one_in(2);
  const GuardedBytes source(paired ? pairs : symbols, Guard::kAfter);
  constexpr WindowForm kForms[] = {WindowForm::kPlain, WindowForm::kWindow, WindowForm::kEscapes,
                                   WindowForm::kEscapes};
  const WindowForm form = kForms[random.below(4)];
  const EngineKernels* const kernels[2] = {&expected, &actual};
  std::vector<float> outputs[2];
  ThreadTeam team(2);
  const ActivationRows inputs(expected, columns, 1 + random.below(8), random);
  const RandomProduct product(rows, inputs.view().positions, random);
  size_t resident[2];
  for (size_t side = 0; side < 2; ++side) {
    const auto matrix = pack_windows({rows, columns, symbol_bits, form}, {source.data(), paired},
                                     *kernels[side], team);
    std::vector<uint8_t> row(columns);
    for (size_t r = 0; r < rows; ++r) {
      matrix->read_row(*kernels[side], r, columns, row.data());
      require_same(std::equal(row.begin(), row.end(), symbols.data() + r * columns),
                   "row that comes back from a matrix");
    }
    require_same(form != WindowForm::kPlain || matrix->exceptions() == 0, "plainness of a matrix");
    resident[side] = matrix->resident_bytes();
    outputs[side] = product.run(*kernels[side], matrix->view(), inputs.view());
  }
  const bool alike = uses_escapes(form, expected) == uses_escapes(form, actual);
  require_same(!alike || resident[0] == resident[1], "size of a matrix");
  require_same(same_bits(outputs[0], outputs[1]), "outputs of a matrix");
}

void compare_symbol_products(const EngineKernels& expected, const EngineKernels& actual,
                             Random& random) {
  const bool paired = random.one_in(2);
  const size_t rows = 1 + random.below(random.one_in(4) ? 70 : 20);
  const size_t columns = random_columns(random);
  const size_t column_begin = random.below(100);
  // Rows need not follow each other: part of each may belong to another piece.
  const size_t row_stride = columns + random.below(4);
  const bool odd = paired && random.one_in(2);
  const size_t extent = (rows - 1) * row_stride + columns;
  const std::vector<uint8_t> symbols = matrix_symbols(random, extent, paired ? 4 : 8);
  std::vector<uint8_t> held = symbols;
  if (paired) {
    held.assign((extent + odd + 1) / 2, 0);
    for (size_t i = 0; i < extent; ++i) {
      const size_t at = i + odd;
      held[at / 2] = static_cast<uint8_t>(held[at / 2] | symbols[i] << (4 * (at % 2)));
    }
  }
  const GuardedBytes source(held, Guard::kAfter);
  const SymbolRows view = {source.data(), paired, odd, row_stride, rows, column_begin, columns};
  const ActivationRows inputs(expected, column_begin + columns, random_positions(random), random);
  const Activations activations = inputs.view();
  std::vector<int64_t> sums[2];
  const EngineKernels* const kernels[2] = {&expected, &actual};
  for (size_t side = 0; side < 2; ++side) {
    alignas(64) static uint8_t scratch[kWindowScratchBytes];
    sums[side].assign(rows * activations.positions, -1);
    kernels[side]->multiply_symbol_rows(view, activations, scratch, sums[side].data());
  }
  require_same(sums[0] == sums[1], "sums of multiply_symbol_rows");
  for (size_t r = 0; r < rows; ++r) {
    for (size_t p = 0; p < activations.positions; ++p) {
      int64_t sum = 0;
      for (size_t c = 0; c < columns; ++c) {
        sum += int64_t{symbols[r * row_stride + c]} * inputs.whole(p, column_begin + c);
      }
      require_same(sum == sums[1][r * activations.positions + p],
                   "exactness of multiply_symbol_rows");
    }
  }
}

}  // namespace entrofleet::test
