#include "bench/symbol_generator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "kernels/codec_entropy.h"
#include "kernels/thread_team.h"

namespace entrofleet::bench {
namespace {

constexpr double kRowSpread = 0.12;
constexpr double kColumnSpread = 0.10;
constexpr double kTailShare = 0.003;
// The range is [-range, kUpperShare * range]: weights of real models are not symmetric either.
constexpr double kUpperShare = 0.93;
constexpr size_t kSampleRows = 256;
constexpr int kBisections = 40;

// SplitMix64 (Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t word() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

  // The sum of twelve uniform numbers of 16 bits each, whose variance is 1. Exact integers, hence
  // the same on every machine; beyond 4 sigma it is too light, where the heavy tails take over.
  double normal() {
    uint32_t sum = 0;
    for (int draw = 0; draw < 3; ++draw) {
      const uint64_t bits = word();
      for (int part = 0; part < 64; part += 16) sum += (bits >> part) & 0xffff;
    }
    return sum / 65536.0 - 6;
  }

 private:
  uint64_t state_;
};

// Student's t with 4 degrees of freedom.
double heavy_tail(Random& random) {
  double squares = 0;
  for (int i = 0; i < 4; ++i) {
    const double part = random.normal();
    squares += part * part;
  }
  return random.normal() / std::sqrt(std::max(squares, 1e-6) / 4);
}

std::vector<float> column_scales(size_t columns, uint64_t seed) {
  Random random(seed);
  std::vector<float> scales(columns);
  for (float& scale : scales) scale = static_cast<float>(std::exp(kColumnSpread * random.normal()));
  return scales;
}

void generate_row(uint64_t seed, const std::vector<float>& scales, float* weights) {
  Random random(seed);
  const double row_scale = std::exp(kRowSpread * random.normal());
  const uint64_t tail_bound = static_cast<uint64_t>(kTailShare * 0x1p64);
  for (size_t column = 0; column < scales.size(); ++column) {
    double weight = random.normal() * row_scale * scales[column];
    if (random.word() < tail_bound) weight *= std::abs(heavy_tail(random)) + 1;
    weights[column] = static_cast<float>(weight);
  }
}

struct SymbolGrid {
  float step;
  float zero_point;
  float greatest;

  uint8_t symbol(float weight) const {
    const float level = std::nearbyint(weight / step) + zero_point;
    return static_cast<uint8_t>(std::clamp(level, 0.0f, greatest));
  }
};

SymbolGrid grid_of(double range, int bits) {
  const double greatest = (1 << bits) - 1;
  const double step = range * (1 + kUpperShare) / greatest;
  return {static_cast<float>(step), static_cast<float>(std::nearbyint(range / step)),
          static_cast<float>(greatest)};
}

SymbolGrid bisect_grid(const std::vector<float>& sample, const SymbolSpec& spec) {
  double low = 1;
  double high = 200;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    const SymbolGrid grid = grid_of(middle, spec.bits);
    std::array<uint64_t, 256> counts{};
    for (const float weight : sample) ++counts[grid.symbol(weight)];
    (entropy_bits(counts.data(), counts.size()) > spec.entropy_bits ? low : high) = middle;
  }
  return grid_of(low, spec.bits);
}

void quantize_row(const SymbolGrid& grid, const std::vector<float>& row, int bits, bool first,
                  uint8_t* output) {
  std::vector<uint8_t> symbols(row.size());
  std::transform(row.begin(), row.end(), symbols.begin(),
                 [&](float weight) { return grid.symbol(weight); });
  if (first) {
    symbols[0] = 0;
    symbols[1] = static_cast<uint8_t>(grid.greatest);
  }
  if (bits == 8) {
    std::copy(symbols.begin(), symbols.end(), output);
    return;
  }
  for (size_t pair = 0; pair < symbols.size() / 2; ++pair) {
    output[pair] = static_cast<uint8_t>(symbols[2 * pair] | symbols[2 * pair + 1] << 4);
  }
}

uint64_t row_seed(size_t tensor, size_t row) { return (tensor + 1) << 40 | row << 8; }

// Round to nearest even for bf16; f16 by the compiler's conversion.
uint16_t narrow(float value, bool half) {
  if (half) return std::bit_cast<uint16_t>(static_cast<_Float16>(value));
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

size_t weight_count(const WeightTensor& tensor) {
  return tensor.rows * std::max<size_t>(tensor.columns, 1);
}

std::string safetensors_header(const WeightSpec& spec) {
  std::ostringstream header;
  size_t begin = 0;
  for (const WeightTensor& tensor : spec.tensors) {
    const size_t end = begin + 2 * weight_count(tensor);
    header << (begin == 0 ? '{' : ',') << '"' << tensor.name << "\":{\"dtype\":\""
           << (spec.type == "f16" ? "F16" : "BF16") << "\",\"shape\":[" << tensor.rows;
    if (tensor.columns > 0) header << ',' << tensor.columns;
    header << "],\"data_offsets\":[" << begin << ',' << end << "]}";
    begin = end;
  }
  header << '}';
  return header.str();
}

// The greatest of tens of millions of heavy tails would stretch a grid from least to greatest so far
// that symbols took 3.7 bits, so weights are bounded.
void generate_matrix(const WeightSpec& spec, size_t index, int threads, uint16_t* output) {
  constexpr float kScale = 0.02f;
  const float least = -static_cast<float>(spec.reach);
  const float most = static_cast<float>(kUpperShare * spec.reach);
  const auto& [name, rows, columns] = spec.tensors[index];
  const std::vector<float> scales = column_scales(columns, row_seed(index, rows));
  kept_team(threads).share(rows, [&](size_t row, int) {
    std::vector<float> weights(scales.size());
    generate_row(row_seed(index, row), scales, weights.data());
    std::transform(weights.begin(), weights.end(), output + row * weights.size(),
                   [&](float weight) {
                     const float bounded = std::clamp(weight, least, most);
                     return narrow(kScale * bounded, spec.type == "f16");
                   });
  });
}

}  // namespace

void write_checkpoint(const WeightSpec& spec, const std::string& path, int threads) {
  if (spec.type != "f16" && spec.type != "bf16") throw std::runtime_error("--type is f16 or bf16");
  const std::string header = safetensors_header(spec);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (int shift = 0; shift < 64; shift += 8) {
    file.put(static_cast<char>(uint64_t{header.size()} >> shift));
  }
  file << header;
  for (size_t index = 0; index < spec.tensors.size(); ++index) {
    const WeightTensor& tensor = spec.tensors[index];
    std::vector<uint16_t> narrowed(weight_count(tensor), narrow(1.0f, spec.type == "f16"));
    if (tensor.columns > 0) generate_matrix(spec, index, threads, narrowed.data());
    file.write(reinterpret_cast<const char*>(narrowed.data()),
               static_cast<std::streamsize>(2 * narrowed.size()));
  }
  file.close();
  if (!file) throw std::runtime_error(path + " cannot be written");
}

SymbolSet generate_symbols(const SymbolSpec& spec, int threads) {
  const size_t row_bytes = spec.columns * static_cast<size_t>(spec.bits) / 8;
  SymbolSet set{spec.bits, {}, std::vector<uint8_t>(spec.tensors * spec.rows * row_bytes)};
  ThreadTeam& team = kept_team(threads);
  for (size_t tensor = 0; tensor < spec.tensors; ++tensor) {
    const std::vector<float> scales = column_scales(spec.columns, row_seed(tensor, spec.rows));
    std::vector<float> sample(std::min(kSampleRows, spec.rows) * spec.columns);
    for (size_t row = 0; row * spec.columns < sample.size(); ++row) {
      // Rows from all over the tensor do not differ from its first ones: each has its own seed.
      generate_row(row_seed(tensor, row), scales, sample.data() + row * spec.columns);
    }
    const SymbolGrid grid = bisect_grid(sample, spec);
    uint8_t* const output = set.bytes.data() + tensor * spec.rows * row_bytes;
    team.share(spec.rows, [&](size_t row, int) {
      std::vector<float> weights(spec.columns);
      generate_row(row_seed(tensor, row), scales, weights.data());
      quantize_row(grid, weights, spec.bits, row == 0, output + row * row_bytes);
    });
    set.tensor_bytes.push_back(spec.rows * row_bytes);
  }
  return set;
}

}  // namespace entrofleet::bench
