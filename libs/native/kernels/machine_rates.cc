#include "kernels/machine_rates.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/codec_lane_segment.h"
#include "kernels/codec_segments.h"
#include "kernels/engine_kernels.h"
#include "kernels/page_memory.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

constexpr size_t kReadPieceBytes = size_t{256} << 10;
constexpr size_t kSymbols = size_t{1} << 18;
// Rounds go on for so long, and there is at least one that counts.
constexpr double kRoundsSeconds = 0.012;
constexpr size_t kPrefetchBytes = 2048;

double now() {
  const std::chrono::duration<double> time = std::chrono::steady_clock::now().time_since_epoch();
  return time.count();
}

// Seconds of the fastest of several rounds; the first one only warms up.
template <typename Round>
double fastest(const Round& round) {
  round();
  double best = 0;
  const double first = now();
  for (double begin = first; best == 0 || begin - first < kRoundsSeconds;) {
    round();
    const double end = now();
    best = best == 0 ? end - begin : std::min(best, end - begin);
    begin = end;
  }
  return best;
}

uint64_t sum_of(const uint64_t* words, size_t count) {
  constexpr size_t kLineWords = 8;
  uint64_t sums[kLineWords] = {};
  for (size_t i = 0; i < count; i += kLineWords) {
    // Past the end of the memory a prefetch does nothing.
    __builtin_prefetch(words + i + kPrefetchBytes / sizeof(uint64_t));
    for (size_t k = 0; k < kLineWords; ++k) sums[k] += words[i + k];
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum += part;
  return sum;
}

double read_rate(ThreadTeam& team, size_t read_bytes) {
  const size_t pieces = std::max<size_t>(1, read_bytes / kReadPieceBytes);
  const PageMemory pages(pieces * kReadPieceBytes);
  auto* const words = reinterpret_cast<uint64_t*>(pages.data());
  constexpr size_t kPieceWords = kReadPieceBytes / sizeof(uint64_t);
  // Memory that was never written is one page of zeros everywhere.
  team.share(pieces, [&](size_t piece, int) {
    std::fill_n(words + piece * kPieceWords, kPieceWords, piece);
  });
  std::atomic<uint64_t> total{0};
  const double seconds = fastest([&] {
    team.share(pieces, [&](size_t piece, int) {
      total.fetch_add(sum_of(words + piece * kPieceWords, kPieceWords),
                      std::memory_order_relaxed);
    });
  });
  return static_cast<double>(pages.size()) / seconds;
}

// Sums of four numbers below 20 have the entropy of weights at about 5.6 bits.
std::vector<uint8_t> bell_symbols() {
  constexpr uint32_t kValues = 20;
  std::vector<uint8_t> symbols(kSymbols);
  uint32_t state = 1;
  for (uint8_t& symbol : symbols) {
    uint32_t sum = 0;
    for (int i = 0; i < 4; ++i) {
      // Numerical Recipes' linear congruence; its upper bits are random enough.
      state = state * 1664525 + 1013904223;
      sum += (state >> 16) % kValues;
    }
    symbol = static_cast<uint8_t>(sum);
  }
  return symbols;
}

// What all members do of `work(member)`, which is kSymbols long, in a second: each at its own best,
// since on a busy machine one of them is always waiting for its turn.
template <typename Work>
double rate_of_all(ThreadTeam& team, const Work& work) {
  struct alignas(64) Best {
    double seconds;
  };
  std::vector<Best> best(static_cast<size_t>(team.size()));
  team.run([&](int member) {
    best[static_cast<size_t>(member)].seconds = fastest([&] { work(static_cast<size_t>(member)); });
  });
  double rate = 0;
  for (const Best& own : best) rate += static_cast<double>(kSymbols) / own.seconds;
  return rate;
}

// `decode(output)` decodes kSymbols.
template <typename Decode>
double decode_rate(ThreadTeam& team, const Decode& decode) {
  std::vector<std::unique_ptr<uint8_t[]>> outputs;
  for (int i = 0; i < team.size(); ++i) outputs.emplace_back(new uint8_t[kSymbols]);
  return rate_of_all(team, [&](size_t member) { decode(outputs[member].get()); });
}

double product_rate(ThreadTeam& team, const std::vector<uint8_t>& symbols) {
  const EngineKernels& kernels = engine_kernels(active_isa());
  constexpr size_t kColumns = 2048;
  constexpr size_t kRows = kPanelGroups * kWindowRows;
  const std::vector<float> inputs(kColumns, 1);
  const PageMemory memory(4 * kColumns);
  auto* const low = reinterpret_cast<int8_t*>(memory.data());
  auto* const whole = reinterpret_cast<int16_t*>(low + 2 * kColumns);
  float scale;
  int64_t sum;
  kernels.quantize_activations(inputs.data(), kColumns, kColumns,
                               {low + kColumns, low, whole, &scale, &sum});
  const Activations activations = {low + kColumns, low, whole, &scale, &sum, kColumns, 1};
  struct Member {
    PageMemory scratch{kWindowScratchBytes};
    int64_t sums[kRows];
  };
  std::vector<Member> members(static_cast<size_t>(team.size()));
  return rate_of_all(team, [&](size_t member) {
    Member& own = members[member];
    for (size_t at = 0; at < kSymbols; at += kRows * kColumns) {
      kernels.multiply_symbol_rows(
          {symbols.data() + at, false, false, kColumns, kRows, 0, kColumns}, activations,
          own.scratch.data(), own.sums);
    }
  });
}

}  // namespace

MachineRates measure_machine(int threads, size_t read_bytes) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  ThreadTeam team(threads);
  MachineRates rates;
  rates.read_bytes_per_second = read_rate(team, read_bytes);
  const std::vector<uint8_t> symbols = bell_symbols();

  const LaneCodedSymbols lanes = encode_lanes(symbols.data(), kSymbols, kSymbols, 1);
  const LaneDecodeTable lane_table(read_lane_code(lanes.code));
  rates.lane_symbols_per_second = decode_rate(team, [&](uint8_t* output) {
    decode_lane_segment(kernels, lane_table, lanes.payload.elements.get(), lanes.payload.size,
                        {output, kSymbols, false});
  });

  const CodedSymbols streams = encode_huffman(symbols.data(), kSymbols, kSymbols, 1);
  const DecodeTable stream_table(streams.code_lengths);
  const size_t bytes = streams.payload.size;
  rates.stream_symbols_per_second = decode_rate(team, [&](uint8_t* output) {
    kernels.decode_segment(stream_table, {streams.payload.elements.get(), bytes, 0, bytes}, output,
                           kSymbols);
  });
  rates.product_weights_per_second = product_rate(team, symbols);
  return rates;
}

}  // namespace entrofleet
