// Our codecs: they differ in their segments' size and in the functions called.
#include "bench/bench_codec.h"
#include "kernels/codec_segments.h"

namespace entrofleet::bench {
namespace {

struct Huffman {
  static constexpr const char* kName = "huffman";
  // The artifact's default, libs/artifact/src/limits.ts.
  static constexpr size_t kSegmentSymbols = size_t{1} << 18;
  using Coded = CodedSymbols;
  using Input = CodedInput;

  static Coded encode(std::span<const uint8_t> symbols, size_t threads) {
    return encode_huffman(symbols.data(), symbols.size(), kSegmentSymbols, threads);
  }
  static Input input(const SegmentedPayload& segments, const Coded& coded) {
    return {segments, coded.code_lengths};
  }
  static void decode(const Input& input, uint8_t* output, size_t threads, uint64_t seed) {
    decode_huffman(input, output, threads, seed);
  }
};

struct Lanes {
  static constexpr const char* kName = "lanes";
  static constexpr size_t kSegmentSymbols = size_t{1} << 18;
  using Coded = LaneCodedSymbols;
  using Input = LaneCodedInput;

  static Coded encode(std::span<const uint8_t> symbols, size_t threads) {
    return encode_lanes(symbols.data(), symbols.size(), kSegmentSymbols, threads);
  }
  static Input input(const SegmentedPayload& segments, const Coded& coded) {
    return {segments, coded.code};
  }
  static void decode(const Input& input, uint8_t* output, size_t threads, uint64_t seed) {
    decode_lanes(input, output, threads, seed);
  }
};

template <typename Layout>
class OwnCodec final : public BenchCodec {
 public:
  std::string name() const override { return Layout::kName; }

  void encode(const SymbolSet& set, int threads) override {
    coded_.clear();
    inputs_.clear();
    for (size_t i = 0; i < set.tensor_bytes.size(); ++i) {
      const auto symbols = set.tensor(i);
      coded_.push_back(Layout::encode(symbols, static_cast<size_t>(threads)));
      const auto& coded = coded_.back();
      const SegmentedPayload segments{coded.payload.elements.get(), coded.payload.size,
                                      coded.segment_sizes, Layout::kSegmentSymbols,
                                      symbols.size()};
      inputs_.push_back(Layout::input(segments, coded));
    }
  }

  void decode(uint8_t* output, int threads) override {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Layout::decode(inputs_[i], output, static_cast<size_t>(threads), i);
      output += inputs_[i].symbol_count;
    }
  }

  size_t coded_bytes() const override {
    size_t sum = 0;
    for (const auto& input : inputs_) sum += input.payload_bytes;
    return sum;
  }

  size_t encoded_bytes() const override {
    size_t sum = 0;
    for (const auto& input : inputs_) sum += input.symbol_count;
    return sum;
  }

 private:
  std::vector<typename Layout::Coded> coded_;
  std::vector<typename Layout::Input> inputs_;
};

}  // namespace

std::unique_ptr<BenchCodec> huffman_codec() { return std::make_unique<OwnCodec<Huffman>>(); }
std::unique_ptr<BenchCodec> lanes_codec() { return std::make_unique<OwnCodec<Lanes>>(); }

}  // namespace entrofleet::bench
