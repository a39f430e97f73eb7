// libFuzzer driver for residuals: any bytes as what is coded, and encoded ones that come back.
#include "fuzz/fuzz_input.h"
#include "kernels/codec_residuals.h"

namespace entrofleet::fuzz {
namespace {

constexpr size_t kMostWeights = 4096;

struct Matrix {
  std::vector<int32_t> ratios;
  ResidualBlock block;
};

Matrix read_matrix(FuzzInput& input) {
  Matrix matrix;
  ResidualBlock& block = matrix.block;
  block.grids.bits = input.byte() % 2 == 0 ? 8 : 4;
  const int most = (1 << block.grids.bits) - 1;
  block.grids.base_zero = input.byte() & most;
  block.grids.target_zero = input.byte() & most;
  block.grids.columns = 1 + input.byte();
  block.first_column = input.byte() % block.grids.columns;
  block.weights = 1 + input.number(2) % kMostWeights;
  const size_t rows = residual_rows(block.grids.columns, block.first_column, block.weights);
  const size_t ratios = input.byte() % 2 == 0 ? 1 : rows;
  for (size_t i = 0; i < ratios; ++i) {
    matrix.ratios.push_back(static_cast<int32_t>(input.number(3) % (2 * kMostRatio + 1)) -
                            kMostRatio);
  }
  block.grids.ratios = matrix.ratios;
  return matrix;
}

size_t symbols_of(const ResidualBlock& block) {
  return block.grids.bits == 8 ? block.weights : (block.weights + 1) / 2;
}

std::vector<uint8_t> read_symbols(FuzzInput& input, const ResidualBlock& block) {
  std::vector<uint8_t> symbols(symbols_of(block));
  // Repeats what there is, so that a short input fills all of them.
  const std::vector<uint8_t> bytes = input.rest();
  for (size_t i = 0; i < symbols.size() && !bytes.empty(); ++i) {
    symbols[i] = static_cast<uint8_t>(bytes[i % bytes.size()] + i / bytes.size());
  }
  // The last symbol of an odd number of weights of 4 bits holds one level.
  if (block.grids.bits == 4 && block.weights % 2 == 1) symbols.back() &= 15;
  return symbols;
}

bool decodes(const ResidualBlock& block, const ExactBytes& coded, uint8_t* target) {
  try {
    decode_residuals(block, {coded.elements.get(), coded.size}, target);
    return true;
  } catch (const CodecFailure& failure) {
    require(failure.code == "CorruptSegment");
    return false;
  }
}

// What is accepted is a target: encoded, it comes back.
void check_decode(ResidualBlock block, const ExactBytes& base, const ExactBytes& coded) {
  block.base = base.elements.get();
  const ExactBytes target{std::vector<uint8_t>(base.size)};
  if (!decodes(block, coded, target.elements.get())) return;
  const ExactBytes again{encode_residuals(block, target.elements.get())};
  const ExactBytes twice{std::vector<uint8_t>(base.size)};
  require(decodes(block, again, twice.elements.get()));
  require(std::equal(target.elements.get(), target.elements.get() + target.size,
                     twice.elements.get()));
}

}  // namespace
}  // namespace entrofleet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace entrofleet::fuzz;
  FuzzInput input(data, size);
  Matrix matrix = read_matrix(input);
  const ExactBytes base{read_symbols(input, matrix.block)};
  if (input.byte() % 2 == 0) {
    check_decode(matrix.block, base, ExactBytes{input.rest()});
    return 0;
  }
  matrix.block.base = base.elements.get();
  const ExactBytes target{read_symbols(input, matrix.block)};
  const ExactBytes coded{encode_residuals(matrix.block, target.elements.get())};
  const ExactBytes again{std::vector<uint8_t>(target.size)};
  require(decodes(matrix.block, coded, again.elements.get()));
  require(std::equal(target.elements.get(), target.elements.get() + target.size,
                     again.elements.get()));
  return 0;
}
