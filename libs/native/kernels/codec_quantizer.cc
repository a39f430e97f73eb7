#include "kernels/codec_quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/codec_entropy.h"
#include "kernels/codec_weight_blocks.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

WeightRange measure_all(const CodecKernels& kernels, ThreadTeam& team, const RawWeights& weights,
                        double* squares) {
  std::vector<WeightRange> ranges(chunks_of(weights.count, kChunkWeights));
  team.share(ranges.size(), [&](size_t chunk, int) {
    const size_t begin = chunk * kChunkWeights;
    const size_t end = std::min(begin + kChunkWeights, weights.count);
    for_each_block(kernels, weights.bytes, weights.type, begin, end,
                   [&](const float* block, size_t, size_t size) {
                     kernels.measure(block, size, &ranges[chunk]);
                   });
  });
  WeightRange whole;
  *squares = 0;
  for (size_t chunk = 0; chunk < ranges.size(); ++chunk) {
    const WeightRange& range = ranges[chunk];
    if (!range.finite) throw_non_finite(kernels, weights, chunk * kChunkWeights);
    whole.least = std::min(whole.least, range.least);
    whole.greatest = std::max(whole.greatest, range.greatest);
    *squares += range.squares.total();
  }
  return whole;
}

Grid affine_grid(const WeightRange& range, int bits) {
  const float symbols = static_cast<float>((1 << bits) - 1);
  const double least = range.least;
  const double greatest = range.greatest;
  if (least == 0 && greatest == 0) return {1, 0, 0, symbols};
  const float step = std::max(static_cast<float>((greatest - least) / symbols),
                              std::numeric_limits<float>::denorm_min());
  if (greatest <= 0) return {-step, 0, 0, symbols};
  // 0 - least, since -least would be -0 for weights >= 0.
  const float zero_point = static_cast<float>(std::nearbyint((0 - least) / step));
  return {step, std::clamp(zero_point, 0.0f, symbols), 0, symbols};
}

// Of the nibbles of the pairs, without the one that pads an odd count.
double nibble_entropy(const Histogram& pairs, size_t count) {
  uint64_t counts[16] = {};
  for (size_t pair = 0; pair < pairs.size(); ++pair) {
    counts[pair & 15] += pairs[pair];
    counts[pair >> 4] += pairs[pair];
  }
  counts[0] -= count % 2;
  return entropy_bits(counts, 16);
}

}  // namespace

int useful_threads(size_t threads, size_t items) {
  return static_cast<int>(std::max<size_t>(1, std::min(threads, items)));
}

QuantizedWeights quantize_affine(const RawWeights& weights, int bits, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  const size_t chunks = chunks_of(weights.count, kChunkWeights);
  ThreadTeam team(useful_threads(threads, chunks));
  QuantizedWeights result;
  const WeightRange range = measure_all(kernels, team, weights, &result.signal_power);
  const Grid grid = affine_grid(range, bits);
  const bool pairs = bits == 4;
  result.zero_point = grid.zero_point;
  result.steps = OwnedArray<float>(1);
  result.steps.elements[0] = grid.step;
  result.symbols = OwnedArray<uint8_t>(pairs ? weights.count / 2 + weights.count % 2
                                             : weights.count);
  std::vector<SumLanes> noise(chunks);
  std::vector<Histogram> counts(static_cast<size_t>(team.size()));
  team.share(chunks, [&](size_t chunk, int member) {
    const size_t begin = chunk * kChunkWeights;
    const size_t end = std::min(begin + kChunkWeights, weights.count);
    uint64_t* const counted = counts[static_cast<size_t>(member)].data();
    uint8_t nibbles[kBlockWeights];
    for_each_block(kernels, weights.bytes, weights.type, begin, end,
                   [&](const float* block, size_t first, size_t size) {
                     uint8_t* output = result.symbols.elements.get() + (pairs ? first / 2 : first);
                     kernels.quantize(block, size, grid, pairs ? nibbles : output, &noise[chunk]);
                     if (pairs) kernels.pack_nibbles(nibbles, size, output);
                     kernels.count_bytes(output, pairs ? size / 2 + size % 2 : size, counted);
                   });
  });
  add_counts(counts, &result.histogram);
  result.noise_power = sum_of(noise);
  result.entropy_bits = pairs ? nibble_entropy(result.histogram, weights.count)
                              : entropy_bits(result.histogram.data(), result.histogram.size());
  return result;
}

OwnedArray<float> to_float32(const RawWeights& weights, size_t threads) {
  const CodecKernels& kernels = codec_kernels(active_isa());
  OwnedArray<float> result(weights.count);
  const size_t chunks = chunks_of(weights.count, kChunkWeights);
  ThreadTeam team(useful_threads(threads, chunks));
  std::vector<uint8_t> bad_chunks(chunks);
  team.share(chunks, [&](size_t chunk, int) {
    const size_t end = std::min((chunk + 1) * kChunkWeights, weights.count);
    WeightRange range;
    for (size_t first = chunk * kChunkWeights; first < end; first += kBlockWeights) {
      const size_t size = std::min(kBlockWeights, end - first);
      float* output = result.elements.get() + first;
      kernels.convert(weights.bytes + first * element_size(weights.type), weights.type, size,
                      output);
      kernels.measure(output, size, &range);
    }
    bad_chunks[chunk] = range.finite ? 0 : 1;
  });
  require_finite(kernels, weights, bad_chunks, kChunkWeights);
  return result;
}

}  // namespace entrofleet
