#include "bench/bench_codec.h"

#if __has_include(<zstd.h>)
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernels/thread_team.h"

namespace entrofleet::bench {
namespace {

// Levels from here on code some megabytes a second.
constexpr int kSlowLevel = 10;
constexpr size_t kSlowBytes = size_t{8} << 20;

struct Frame {
  size_t source_begin;
  size_t source_bytes;
  size_t slot_begin;
  size_t coded_bytes;
};

size_t checked(size_t result) {
  if (ZSTD_isError(result)) throw std::runtime_error(ZSTD_getErrorName(result));
  return result;
}

class ZstdCodec final : public BenchCodec {
 public:
  explicit ZstdCodec(int level) : level_(level) {}

  std::string name() const override { return "zstd -" + std::to_string(level_); }

  void encode(const SymbolSet& set, int threads) override {
    if (frames_.empty()) cut(set);
    ThreadTeam& team = kept_team(threads);
    contexts(threads);
    team.share(frames_.size(), [&](size_t i, int member) {
      if (is_sampled(i)) encode_frame(set, i, member);
    });
    for (size_t i = 0; i < frames_.size(); ++i) {
      checked(frames_[i].coded_bytes);
      if (!is_sampled(i)) repeat(frames_[i - i % stride_], &frames_[i]);
    }
  }

  void decode(uint8_t* output, int threads) override {
    ThreadTeam& team = kept_team(threads);
    contexts(threads);
    team.share(frames_.size(), [&](size_t i, int member) {
      const Frame& frame = frames_[i];
      ZSTD_decompressDCtx(decoders_[static_cast<size_t>(member)].get(),
                          output + frame.source_begin, frame.source_bytes,
                          coded_.data() + frame.slot_begin, frame.coded_bytes);
    });
  }

  size_t coded_bytes() const override {
    size_t sum = 0;
    for (const Frame& frame : frames_) sum += frame.coded_bytes;
    return sum;
  }

  bool is_sample() const override { return level_ >= kSlowLevel; }

  size_t encoded_bytes() const override {
    size_t sum = 0;
    for (size_t i = 0; i < frames_.size(); ++i) sum += is_sampled(i) ? frames_[i].source_bytes : 0;
    return sum;
  }

  bool gave_back(const SymbolSet& set, const uint8_t* output) const override {
    for (size_t i = 0; i < frames_.size(); ++i) {
      const size_t begin = frames_[i].source_begin;
      if (is_sampled(i) &&
          std::memcmp(output + begin, set.bytes.data() + begin, frames_[i].source_bytes) != 0) {
        return false;
      }
    }
    return true;
  }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  // Frames take whole slots, so that threads need not know each other's sizes.
  void cut(const SymbolSet& set) {
    slot_bytes_ = ZSTD_compressBound(kZstdFrameBytes);
    for (size_t begin = 0; begin < set.bytes.size(); begin += kZstdFrameBytes) {
      const size_t bytes = std::min(kZstdFrameBytes, set.bytes.size() - begin);
      frames_.push_back({begin, bytes, frames_.size() * slot_bytes_, 0});
    }
    coded_.resize(frames_.size() * slot_bytes_);
    if (is_sample()) stride_ = std::max<size_t>(1, set.bytes.size() / kSlowBytes);
  }

  // The last frame may be shorter than the one that would be copied to its place.
  bool is_sampled(size_t index) const {
    return index % stride_ == 0 || frames_[index].source_bytes != kZstdFrameBytes;
  }

  void encode_frame(const SymbolSet& set, size_t index, int member) {
    Frame& frame = frames_[index];
    frame.coded_bytes = ZSTD_compressCCtx(
        encoders_[static_cast<size_t>(member)].get(), coded_.data() + frame.slot_begin,
        slot_bytes_, set.bytes.data() + frame.source_begin, frame.source_bytes, level_);
  }

  void repeat(const Frame& from, Frame* to) {
    to->coded_bytes = from.coded_bytes;
    std::memcpy(coded_.data() + to->slot_begin, coded_.data() + from.slot_begin,
                from.coded_bytes);
  }

  void contexts(int threads) {
    while (encoders_.size() < static_cast<size_t>(threads)) {
      encoders_.emplace_back(ZSTD_createCCtx());
      decoders_.emplace_back(ZSTD_createDCtx());
    }
  }

  int level_;
  // Every so many frames are coded; tensors differ, so the sample is spread over all of them.
  size_t stride_ = 1;
  size_t slot_bytes_ = 0;
  std::vector<Frame> frames_;
  std::vector<uint8_t> coded_;
  std::vector<std::unique_ptr<ZSTD_CCtx, Free>> encoders_;
  std::vector<std::unique_ptr<ZSTD_DCtx, Free>> decoders_;
};

}  // namespace

std::unique_ptr<BenchCodec> zstd_codec(int level) { return std::make_unique<ZstdCodec>(level); }

}  // namespace entrofleet::bench

#else

namespace entrofleet::bench {

std::unique_ptr<BenchCodec> zstd_codec(int) { return nullptr; }

}  // namespace entrofleet::bench

#endif
