// Multiplies a matrix with activations, so that `make bench-neon` can count instructions:
// `multiply_once SYMBOL_BITS WINDOW_BITS POSITIONS` prints the number of products. A hundredth of
// the symbols are exceptions where the window is narrower than a symbol.
#include <cstdio>
#include <cstdlib>

#include "kernels/window_matrix.h"
#include "test/activation_rows.h"
#include "test/differential.h"

namespace {

using namespace entrofleet;

constexpr size_t kRows = 64;
constexpr size_t kColumns = 1024;

class Matrix {
 public:
  Matrix(const EngineKernels& kernels, unsigned symbol_bits, unsigned window_bits)
      : symbol_bits_(symbol_bits) {
    test::Random random(1);
    std::vector<uint8_t> symbols = random.bytes(kRows * kColumns);
    for (uint8_t& symbol : symbols) {
      const bool outside = window_bits < symbol_bits && random.one_in(100);
      const unsigned low_bits = symbol & ((1u << window_bits) - 1);
      symbol = static_cast<uint8_t>(low_bits | static_cast<unsigned>(outside) << window_bits);
    }
    const Window window = {static_cast<uint8_t>(window_bits), 0};
    const size_t bytes = tiles_across(kColumns) * tile_bytes(window_bits);
    const size_t room = kWindowRows * kColumns * sizeof(uint16_t);
    for (size_t row = 0; row < kRows; row += kWindowRows) {
      groups_memory_.emplace_back(std::aligned_alloc(64, room + bytes));
      uint8_t* const outside = static_cast<uint8_t*>(groups_memory_.back().get());
      uint8_t* const tiles = outside + room;
      const SymbolBlock block = {symbols.data() + row * kColumns, kColumns, kWindowRows, kColumns};
      const PackedOutside packed =
          kernels.pack_group(block, window, symbol_bits, tiles, outside, room);
      groups_.push_back({tiles, outside, packed.count, window});
    }
  }

  WindowView view() const { return {kRows, kColumns, symbol_bits_, groups_.data()}; }

 private:
  struct Memory {
    explicit Memory(void* memory) : memory_(memory, std::free) {}
    void* get() const { return memory_.get(); }
    std::unique_ptr<void, void (*)(void*)> memory_;
  };

  std::vector<Memory> groups_memory_;
  std::vector<WindowGroup> groups_;
  unsigned symbol_bits_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return EXIT_FAILURE;
  const unsigned symbol_bits = static_cast<unsigned>(std::atoi(arguments[1]));
  const unsigned window_bits = static_cast<unsigned>(std::atoi(arguments[2]));
  const size_t positions = static_cast<size_t>(std::atoi(arguments[3]));
  const EngineKernels& kernels = engine_kernels(active_isa());
  const Matrix matrix(kernels, symbol_bits, window_bits);
  const WindowView view = matrix.view();
  test::Random random(2);
  const test::ActivationRows inputs(kernels, kColumns, positions, random);
  const Activations activations = inputs.view();
  std::vector<float> outputs(positions * kRows);
  const float step = 1;
  alignas(64) static uint8_t scratch[kWindowScratchBytes];
  kernels.multiply_windows({&view, &activations, 0, &step, false, nullptr, outputs.data(), kRows,
                            false},
                           0, window_groups(kRows), scratch);
  std::printf("%zu\n", kRows * kColumns * positions);
  return EXIT_SUCCESS;
}
