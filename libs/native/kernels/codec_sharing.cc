#include "kernels/codec_sharing.h"

#include <numeric>
#include <optional>
#include <string>

#include "kernels/codec_failure.h"
#include "kernels/codec_quantizer.h"

namespace entrofleet {
namespace {

// Waking another thread costs about as much as decoding one segment.
constexpr size_t kSegmentsPerThread = 2;
constexpr size_t kCountingSymbols = size_t{1} << 18;

// SplitMix64 (Steele, Lea and Flood 2014).
struct Shuffler {
  uint64_t state;

  uint64_t next() {
    state += 0x9e3779b97f4a7c15;
    uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

  // Fisher and Yates. The bias of the remainder does not matter for balance.
  std::vector<size_t> shuffled(size_t count) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t left = count; left > 1; --left) std::swap(order[left - 1], order[next() % left]);
    return order;
  }
};

// What a member found out. Each on its own cache line, since members write to theirs at any time.
struct alignas(64) MemberOutcome {
  size_t first_corrupt = SIZE_MAX;
  bool cancelled = false;
};

}  // namespace

std::vector<std::vector<size_t>> dealt_segments(const std::vector<uint32_t>& segment_sizes,
                                                size_t members, uint64_t seed) {
  std::vector<size_t> order = Shuffler{seed}.shuffled(segment_sizes.size());
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return segment_sizes[a] > segment_sizes[b];
  });
  std::vector<std::vector<size_t>> dealt(members);
  std::vector<uint64_t> bytes(members);
  for (const size_t segment : order) {
    const size_t least = static_cast<size_t>(std::min_element(bytes.begin(), bytes.end()) -
                                             bytes.begin());
    dealt[least].push_back(segment);
    bytes[least] += segment_sizes[segment];
  }
  // In the order in which they lie in memory, which is read ahead.
  for (std::vector<size_t>& segments : dealt) std::sort(segments.begin(), segments.end());
  return dealt;
}

int decoding_threads(size_t threads, size_t segments) {
  return useful_threads(threads, segments / kSegmentsPerThread);
}

std::vector<size_t> segment_begins(const SegmentedPayload& input) {
  const size_t segments = SegmentCut{input.symbol_count, input.segment_symbols}.segments();
  const size_t stated = input.segment_sizes.size();
  if (stated != segments) {
    throw CodecFailure{"BadArgument",
                       std::to_string(stated) + " segments where " +
                           std::to_string(input.symbol_count) + " symbols make " +
                           std::to_string(segments),
                       std::nullopt};
  }
  std::vector<size_t> begins(segments + 1);
  for (size_t segment = 0; segment < segments; ++segment) {
    begins[segment + 1] = begins[segment] + input.segment_sizes[segment];
  }
  if (begins.back() != input.payload_bytes) {
    throw CodecFailure{"BadArgument",
                       "the segments have " + std::to_string(begins.back()) +
                           " bytes and the payload " + std::to_string(input.payload_bytes),
                       std::nullopt};
  }
  return begins;
}

void decode_segments(const SegmentedPayload& input, uint8_t* output, size_t threads, uint64_t seed,
                     const SegmentWatch& watch, const DecodeSegment& decode) {
  const std::vector<size_t> begins = segment_begins(input);
  const size_t segments = input.segment_sizes.size();
  const SegmentCut cut{input.symbol_count, input.segment_symbols};
  ThreadTeam& team = kept_team(decoding_threads(threads, segments));
  const size_t members = static_cast<size_t>(team.size());
  const std::vector<std::vector<size_t>> dealt =
      dealt_segments(input.segment_sizes, members, seed);
  std::vector<MemberOutcome> outcomes(members);
  const auto cancelled = [&] {
    return watch.cancel != nullptr &&
           std::atomic_ref(*watch.cancel).load(std::memory_order_relaxed) != 0;
  };
  team.run([&](int member) {
    MemberOutcome& outcome = outcomes[static_cast<size_t>(member)];
    for (const size_t segment : dealt[static_cast<size_t>(member)]) {
      outcome.cancelled = cancelled();
      if (outcome.cancelled) return;
      const CodedSegment coded = {input.payload, input.payload_bytes, begins[segment],
                                  begins[segment + 1]};
      if (!decode(coded, output + segment * cut.segment_symbols, cut.symbols_of(segment))) {
        outcome.first_corrupt = std::min(outcome.first_corrupt, segment);
      }
      if (watch.done == nullptr) continue;
      std::atomic_ref(*watch.done).fetch_add(1, std::memory_order_relaxed);
    }
  });
  size_t corrupt = SIZE_MAX;
  for (const MemberOutcome& outcome : outcomes) {
    if (outcome.cancelled) throw CodecFailure{"Cancelled", "the call was cancelled", std::nullopt};
    corrupt = std::min(corrupt, outcome.first_corrupt);
  }
  if (corrupt == SIZE_MAX) return;
  throw CodecFailure{"CorruptSegment",
                     "segment " + std::to_string(corrupt) + " of " + std::to_string(segments) +
                         " is corrupt",
                     corrupt};
}

size_t counting_pieces(size_t count) {
  return count / kCountingSymbols + (count % kCountingSymbols != 0);
}

Histogram count_symbols(const CodecKernels& kernels, ThreadTeam& team, const uint8_t* symbols,
                        size_t count) {
  std::vector<Histogram> parts(static_cast<size_t>(team.size()));
  team.share(counting_pieces(count), [&](size_t piece, int member) {
    const size_t first = piece * kCountingSymbols;
    kernels.count_bytes(symbols + first, std::min(kCountingSymbols, count - first),
                        parts[static_cast<size_t>(member)].data());
  });
  Histogram sum{};
  for (const Histogram& part : parts) {
    for (size_t value = 0; value < part.size(); ++value) sum[value] += part[value];
  }
  return sum;
}

}  // namespace entrofleet
