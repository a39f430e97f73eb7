#include <cstring>

#include "bench/bench_codec.h"
#include "kernels/thread_team.h"

namespace entrofleet::bench {
namespace {

class MemoryCopy final : public BenchCodec {
 public:
  std::string name() const override { return "memcpy"; }
  bool has_encoder() const override { return false; }
  void encode(const SymbolSet& set, int) override { set_ = &set; }
  size_t coded_bytes() const override { return set_->bytes.size(); }
  size_t encoded_bytes() const override { return 0; }

  // One call per thread: the C library then takes its path for what exceeds the caches.
  void decode(uint8_t* output, int threads) override {
    const size_t total = set_->bytes.size();
    kept_team(threads).run([&](int member) {
      const size_t begin = total * static_cast<size_t>(member) / static_cast<size_t>(threads);
      const size_t end = total * static_cast<size_t>(member + 1) / static_cast<size_t>(threads);
      std::memcpy(output + begin, set_->bytes.data() + begin, end - begin);
    });
  }

 private:
  const SymbolSet* set_ = nullptr;
};

}  // namespace

std::unique_ptr<BenchCodec> memory_copy() { return std::make_unique<MemoryCopy>(); }

}  // namespace entrofleet::bench
