#include "bench/bench_codec.h"
#include "kernels/codec_segments.h"

namespace entrofleet::bench {
namespace {

// The artifact's default, libs/artifact/src/limits.ts.
constexpr size_t kSegmentSymbols = size_t{1} << 16;

class HuffmanCodec final : public BenchCodec {
 public:
  std::string name() const override { return "huffman"; }

  void encode(const SymbolSet& set, int threads) override {
    coded_.clear();
    inputs_.clear();
    for (size_t i = 0; i < set.tensor_bytes.size(); ++i) {
      const auto symbols = set.tensor(i);
      coded_.push_back(encode_huffman(symbols.data(), symbols.size(), kSegmentSymbols,
                                      static_cast<size_t>(threads)));
      const CodedSymbols& coded = coded_.back();
      inputs_.push_back({coded.payload.elements.get(), coded.payload.size, coded.segment_sizes,
                         kSegmentSymbols, symbols.size(), coded.code_lengths});
    }
  }

  void decode(uint8_t* output, int threads) override {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      decode_huffman(inputs_[i], output, static_cast<size_t>(threads), i);
      output += inputs_[i].symbol_count;
    }
  }

  size_t coded_bytes() const override {
    size_t sum = 0;
    for (const CodedInput& input : inputs_) sum += input.payload_bytes;
    return sum;
  }

  size_t encoded_bytes() const override {
    size_t sum = 0;
    for (const CodedInput& input : inputs_) sum += input.symbol_count;
    return sum;
  }

 private:
  std::vector<CodedSymbols> coded_;
  std::vector<CodedInput> inputs_;
};

}  // namespace

std::unique_ptr<BenchCodec> huffman_codec() { return std::make_unique<HuffmanCodec>(); }

}  // namespace entrofleet::bench
