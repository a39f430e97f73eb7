// libFuzzer driver for the quantizers: any bit patterns as weights of any type and shape. All
// instruction sets and numbers of threads give the same bits; a failure names the first weight
// that is not finite; symbols and steps keep to their grids, and symbols survive coding.
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>

#include "fuzz/fuzz_input.h"
#include "kernels/codec_quantizer.h"
#include "kernels/codec_row_quantizer.h"
#include "kernels/codec_segments.h"

namespace entrofleet::fuzz {
namespace {

// NaN has no equal: doubles are compared by their bits.
struct Outcome {
  std::string verdict;
  std::vector<uint8_t> symbols;
  std::vector<uint32_t> steps;
  std::vector<uint64_t> numbers;

  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(const QuantizedWeights& weights) {
  Outcome outcome;
  const uint8_t* const symbols = weights.symbols.elements.get();
  outcome.symbols.assign(symbols, symbols + weights.symbols.size);
  for (size_t i = 0; i < weights.steps.size; ++i) {
    outcome.steps.push_back(std::bit_cast<uint32_t>(weights.steps.elements[i]));
  }
  for (const double number : {weights.zero_point, weights.entropy_bits, weights.signal_power,
                              weights.noise_power}) {
    outcome.numbers.push_back(std::bit_cast<uint64_t>(number));
  }
  outcome.numbers.insert(outcome.numbers.end(), weights.histogram.begin(),
                         weights.histogram.end());
  return outcome;
}

template <typename Quantize>
Outcome outcome(const Quantize& quantize) {
  try {
    return quantize();
  } catch (const CodecFailure& failure) {
    return {verdict_of(failure), {}, {}, {}};
  }
}

// Written apart from the kernels: exponent bits all ones.
std::optional<size_t> first_non_finite(const RawWeights& weights) {
  for (size_t i = 0; i < weights.count; ++i) {
    const size_t size = element_size(weights.type);
    const uint32_t high = weights.bytes[i * size + size - 1] << 8 | weights.bytes[i * size + size - 2];
    const uint32_t mask = weights.type == FloatType::kFloat16 ? 0x7c00 : 0x7f80;
    if ((high & mask) == mask) return i;
  }
  return std::nullopt;
}

template <typename Quantize>
void check(const RawWeights& weights, const std::string& isa, int bits, const Quantize& quantize) {
  const Outcome one = same_on(isa, [&] { return outcome([&] { return quantize(1); }); });
  require(outcome([&] { return quantize(2); }) == one);
  const std::optional<size_t> bad = first_non_finite(weights);
  require(one.verdict == (bad ? "NonFiniteWeight@" + std::to_string(*bad) : ""));
  if (bad) return;
  require(one.symbols.size() == (bits == 4 ? (weights.count + 1) / 2 : weights.count));
  for (const uint32_t pattern : one.steps) {
    const float step = std::bit_cast<float>(pattern);
    require(std::isfinite(step) && step != 0);
  }
  const ExactBytes source(one.symbols);
  const CodedSymbols coded = encode_huffman(source.elements.get(), source.size, 4096, 1);
  const CodedInput input{{coded.payload.elements.get(), coded.payload.size, coded.segment_sizes,
                          4096, source.size},
                         coded.code_lengths};
  const std::unique_ptr<uint8_t[]> output(new uint8_t[source.size]);
  decode_huffman(input, output.get(), 1, 1);
  require(std::equal(one.symbols.begin(), one.symbols.end(), output.get()));
}

void check_floats(const RawWeights& weights, const std::string& isa) {
  const auto floats = [&](size_t threads) {
    return outcome([&] {
      const OwnedArray<float> converted = to_float32(weights, threads);
      Outcome result;
      for (size_t i = 0; i < converted.size; ++i) {
        result.steps.push_back(std::bit_cast<uint32_t>(converted.elements[i]));
      }
      return result;
    });
  };
  require(same_on(isa, [&] { return floats(1); }) == floats(2));
}

void check_curve(const RawMatrix& matrix, const std::string& isa, FuzzInput& input) {
  const std::vector<double> factors = {0.01 * (1 + input.byte()), 1e-3};
  const bool shared = input.byte() % 2 == 0;
  const auto curve = [&](size_t threads) {
    return outcome([&] {
      const RateCurve measured = rate_curve(matrix, {factors, shared, {}}, threads);
      Outcome result;
      for (const Histogram& histogram : measured.histograms) {
        result.numbers.insert(result.numbers.end(), histogram.begin(), histogram.end());
      }
      for (const double noise : measured.noise_powers) {
        result.numbers.push_back(std::bit_cast<uint64_t>(noise));
      }
      return result;
    });
  };
  require(same_on(isa, [&] { return curve(1); }) == curve(2));
}

std::vector<uint8_t> weight_bytes(FuzzInput& input, FloatType type) {
  const size_t size = element_size(type);
  // Most weights shall be finite, or all inputs of some length would end at the first check.
  const bool tame = input.byte() % 4 != 0;
  const size_t repeats = 1 + input.byte() % 32;
  std::vector<uint8_t> bytes = input.rest();
  bytes.resize(bytes.size() / size * size);
  for (size_t i = size - 1; tame && i < bytes.size(); i += size) bytes[i] &= 0xbf;
  std::vector<uint8_t> all;
  for (size_t i = 0; i < repeats; ++i) all.insert(all.end(), bytes.begin(), bytes.end());
  return all;
}

}  // namespace

void quantize_anything(FuzzInput& input) {
  const std::string isa = pick_isa(input);
  const FloatType type = static_cast<FloatType>(input.byte() % 3);
  const int work = input.byte() % 4;
  const size_t wanted_columns = 1 + input.number(2) % 3000;
  const double factor = 0.002 * (1 + input.byte());
  const uint8_t curve_seed = input.byte();
  const ExactBytes bytes(weight_bytes(input, type));
  const RawWeights weights{bytes.elements.get(), type, bytes.size / element_size(type)};
  const size_t columns = std::min(wanted_columns, std::max<size_t>(1, weights.count));
  // Rows without columns do not exist, see binding/codec_arguments.cc.
  const size_t rows = weights.count / columns;
  const RawMatrix matrix{weights.bytes, type, rows, rows == 0 ? 0 : columns};
  const RawWeights used{weights.bytes, type, rows * columns};
  if (work < 2) {
    const int bits = work == 0 ? 8 : 4;
    check(weights, isa, bits,
          [&](size_t threads) { return outcome_of(quantize_affine(weights, bits, threads)); });
  } else if (work == 2) {
    check(used, isa, 8,
          [&](size_t threads) {
            const double shared_rms = curve_seed % 2 == 0 ? 0 : 0.5;
            const std::vector<RowBlock> blocks = {{rows, factor, shared_rms}};
            return outcome_of(quantize_rows(matrix, {blocks, {}}, threads));
          });
  } else {
    FuzzInput more(&curve_seed, 1);
    check_floats(weights, isa);
    check_curve(matrix, isa, more);
  }
}

}  // namespace entrofleet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  entrofleet::fuzz::FuzzInput input(data, size);
  entrofleet::fuzz::quantize_anything(input);
  return 0;
}
