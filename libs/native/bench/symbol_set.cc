#include "bench/symbol_set.h"

#include <array>
#include <fstream>
#include <stdexcept>

#include "kernels/codec_entropy.h"

namespace entrofleet::bench {
namespace {

constexpr uint64_t kMostTensors = 100'000;

double symbol_entropy(std::span<const uint8_t> bytes, int bits) {
  std::array<uint64_t, 256> counts{};
  if (bits == 8) {
    for (const uint8_t byte : bytes) ++counts[byte];
    return entropy_bits(counts.data(), counts.size());
  }
  for (const uint8_t byte : bytes) {
    ++counts[byte & 15];
    ++counts[byte >> 4];
  }
  return entropy_bits(counts.data(), 16);
}

uint64_t read_word(std::istream& file) {
  std::array<uint8_t, 8> bytes{};
  file.read(reinterpret_cast<char*>(bytes.data()), bytes.size());
  uint64_t word = 0;
  for (size_t i = 0; i < bytes.size(); ++i) word |= uint64_t{bytes[i]} << (8 * i);
  return word;
}

void write_word(std::ostream& file, uint64_t word) {
  for (int shift = 0; shift < 64; shift += 8) file.put(static_cast<char>(word >> shift));
}

}  // namespace

std::span<const uint8_t> SymbolSet::tensor(size_t index) const {
  size_t begin = 0;
  for (size_t i = 0; i < index; ++i) begin += tensor_bytes[i];
  return {bytes.data() + begin, tensor_bytes[index]};
}

double SymbolSet::entropy_bits() const {
  double sum = 0;
  for (size_t i = 0; i < tensor_bytes.size(); ++i) {
    sum += symbol_entropy(tensor(i), bits) * static_cast<double>(tensor_bytes[i]);
  }
  return sum / static_cast<double>(bytes.size());
}

SymbolSet SymbolSet::repeated(size_t copies) const {
  SymbolSet all{bits, {}, {}};
  all.bytes.reserve(copies * bytes.size());
  for (size_t copy = 0; copy < copies; ++copy) {
    all.tensor_bytes.insert(all.tensor_bytes.end(), tensor_bytes.begin(), tensor_bytes.end());
    all.bytes.insert(all.bytes.end(), bytes.begin(), bytes.end());
  }
  return all;
}

SymbolSet read_symbols(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  SymbolSet set;
  set.bits = static_cast<int>(read_word(file));
  const uint64_t tensors = read_word(file);
  if (!file || (set.bits != 8 && set.bits != 4) || tensors < 1 || tensors > kMostTensors) {
    throw std::runtime_error(path + " holds no symbols");
  }
  size_t total = 0;
  for (uint64_t i = 0; i < tensors; ++i) {
    set.tensor_bytes.push_back(read_word(file));
    total += set.tensor_bytes.back();
  }
  set.bytes.resize(total);
  file.read(reinterpret_cast<char*>(set.bytes.data()), static_cast<std::streamsize>(total));
  if (!file) throw std::runtime_error(path + " ends early");
  return set;
}

void write_symbols(const SymbolSet& set, const std::string& path) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  write_word(file, static_cast<uint64_t>(set.bits));
  write_word(file, set.tensor_bytes.size());
  for (const size_t bytes : set.tensor_bytes) write_word(file, bytes);
  file.write(reinterpret_cast<const char*>(set.bytes.data()),
             static_cast<std::streamsize>(set.bytes.size()));
  file.close();
  if (!file) throw std::runtime_error(path + " cannot be written");
}

}  // namespace entrofleet::bench
