#include "kernels/calibration_forward.h"

#include <algorithm>
#include <cmath>

#include "kernels/calibration_kernels.h"
#include "kernels/rotation.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

#include "kernels/exponential.body.h"

// Tokens whose products are computed together, transposed so that they lie side by side.
constexpr size_t kTileTokens = 32;
// Tokens that are added to a Gram matrix at once.
constexpr size_t kPanelTokens = 64;
// Rows of a Gram matrix, or queries of a sequence, that are one work item.
constexpr size_t kBlockRows = 64;

size_t parts_of(size_t count, size_t part) { return count / part + (count % part != 0); }

// A rotation as it is applied.
struct PairRotation {
  float cosine;
  float sine;
};

PairRotation pair_rotation(double angle) {
  const Rotation exact = rotation_of(angle);
  return {static_cast<float>(exact.cosine), static_cast<float>(exact.sine)};
}

void rotate(float* head, const PairRotation* rotations, size_t pairs) {
  for (size_t i = 0; i < pairs; ++i) {
    const float first = head[i];
    const float second = head[i + pairs];
    head[i] = first * rotations[i].cosine - second * rotations[i].sine;
    head[i + pairs] = second * rotations[i].cosine + first * rotations[i].sine;
  }
}

// Softmax over scores [begin, end) of `count`; the others become 0.
void normalize_scores(float* scores, size_t begin, size_t end, size_t count, float scale) {
  float peak = scores[begin];
  for (size_t j = begin; j < end; ++j) peak = std::max(peak, scores[j]);
  double total = 0;
  for (size_t j = begin; j < end; ++j) {
    scores[j] = exponential((scores[j] - peak) * scale);
    total += scores[j];
  }
  const float inverse = static_cast<float>(1 / total);
  std::fill(scores, scores + begin, 0.0f);
  for (size_t j = begin; j < end; ++j) scores[j] *= inverse;
  std::fill(scores + end, scores + count, 0.0f);
}

struct Sequence {
  size_t first_token;
  size_t length;
};

std::vector<Sequence> sequences_of(const std::vector<uint32_t>& lengths) {
  std::vector<Sequence> sequences;
  size_t first = 0;
  for (const uint32_t length : lengths) {
    sequences.push_back({first, length});
    first += length;
  }
  return sequences;
}

// One head of one sequence: its queries block by block against its transposed keys.
void attend_head(const AttentionInput& input, const Sequence& sequence, size_t head,
                 std::span<const PairRotation> rotations, float* outputs) {
  const CalibrationKernels& kernels = calibration_kernels(active_isa());
  const size_t size = input.head_size;
  const size_t pairs = input.rotary_frequencies.size();
  const size_t length = sequence.length;
  const size_t query_width = input.heads * size;
  const size_t key_width = input.key_value_heads * size;
  const size_t key_head = head / (input.heads / input.key_value_heads);
  const size_t key_at = sequence.first_token * key_width + key_head * size;
  std::vector<float> keys(size * length);
  std::vector<float> row(size);
  for (size_t t = 0; t < length; ++t) {
    std::copy_n(input.keys.data() + key_at + t * key_width, size, row.data());
    rotate(row.data(), rotations.data() + t * pairs, pairs);
    for (size_t d = 0; d < size; ++d) keys[d * length + t] = row[d];
  }
  std::vector<float> queries(kBlockRows * size);
  std::vector<float> scores(kBlockRows * length);
  const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  for (size_t begin = 0; begin < length; begin += kBlockRows) {
    const size_t rows = std::min(kBlockRows, length - begin);
    const size_t at = (sequence.first_token + begin) * query_width + head * size;
    for (size_t r = 0; r < rows; ++r) {
      float* query = queries.data() + r * size;
      std::copy_n(input.queries.data() + at + r * query_width, size, query);
      rotate(query, rotations.data() + (begin + r) * pairs, pairs);
    }
    const size_t visible = begin + rows;
    std::fill(scores.begin(), scores.end(), 0.0f);
    kernels.add_products({queries.data(), size, 1, keys.data(), length, scores.data(), length,
                          rows, size, visible});
    for (size_t r = 0; r < rows; ++r) {
      const size_t end = begin + r + 1;
      const size_t first = input.window != 0 && end > input.window ? end - input.window : 0;
      normalize_scores(scores.data() + r * length, first, end, visible, scale);
    }
    for (size_t r = 0; r < rows; ++r) std::fill_n(outputs + at + r * query_width, size, 0.0f);
    kernels.add_products({scores.data(), length, 1, input.values.data() + key_at, key_width,
                          outputs + at, query_width, rows, visible, size});
  }
}

}  // namespace

LinearOutput linear(const LinearInput& input, size_t threads) {
  const CalibrationKernels& kernels = calibration_kernels(active_isa());
  const size_t columns = input.columns;
  const size_t rows = input.rows;
  const size_t tokens = columns == 0 ? 0 : input.inputs.size() / columns;
  const size_t tiles = parts_of(tokens, kTileTokens);
  ThreadTeam team(useful_threads(threads, tiles));
  LinearOutput output;
  output.outputs = OwnedArray<float>(tokens * rows);
  std::vector<double> powers(tiles);
  const size_t scratch_size = (columns + rows) * kTileTokens;
  std::vector<float> scratch(scratch_size * static_cast<size_t>(team.size()));
  team.share(tiles, [&](size_t tile, int member) {
    float* const inputs = scratch.data() + static_cast<size_t>(member) * scratch_size;
    float* const sums = inputs + columns * kTileTokens;
    const size_t first = tile * kTileTokens;
    const size_t count = std::min(kTileTokens, tokens - first);
    std::fill_n(inputs, scratch_size, 0.0f);
    for (size_t t = 0; t < count; ++t) {
      const float* from = input.inputs.data() + (first + t) * columns;
      for (size_t c = 0; c < columns; ++c) inputs[c * kTileTokens + t] = from[c];
    }
    kernels.add_products({input.weights.data(), columns, 1, inputs, kTileTokens, sums, kTileTokens,
                          rows, columns, kTileTokens});
    for (size_t t = 0; t < count; ++t) {
      float* to = output.outputs.elements.get() + (first + t) * rows;
      double power = 0;
      for (size_t r = 0; r < rows; ++r) {
        const float value = sums[r * kTileTokens + t];
        power += static_cast<double>(value) * value;
        to[r] = input.bias.empty() ? value : value + input.bias[r];
      }
      powers[tile] += power;
    }
  });
  for (const double power : powers) output.power += power;
  return output;
}

void add_gram(std::span<double> sums, std::span<const float> inputs, size_t columns,
              size_t threads) {
  const CalibrationKernels& kernels = calibration_kernels(active_isa());
  const size_t tokens = columns == 0 ? 0 : inputs.size() / columns;
  const size_t blocks = parts_of(columns, kBlockRows);
  ThreadTeam team(useful_threads(threads, blocks));
  std::vector<double> panel(kPanelTokens * columns);
  for (size_t first = 0; first < tokens; first += kPanelTokens) {
    const size_t depth = std::min(kPanelTokens, tokens - first);
    std::copy_n(inputs.data() + first * columns, depth * columns, panel.data());
    team.share(blocks, [&](size_t block, int) {
      // The last blocks are the widest, and start first.
      const size_t begin = (blocks - 1 - block) * kBlockRows;
      const size_t end = std::min(begin + kBlockRows, columns);
      kernels.add_products_double({panel.data() + begin, 1, columns, panel.data(), columns,
                                   sums.data() + begin * columns, columns, end - begin, depth,
                                   end});
    });
  }
}

OwnedArray<float> attend_sequences(const AttentionInput& input, size_t threads) {
  const std::vector<Sequence> sequences = sequences_of(input.lengths);
  const size_t pairs = input.rotary_frequencies.size();
  size_t longest = 0;
  for (const Sequence& sequence : sequences) longest = std::max(longest, sequence.length);
  std::vector<PairRotation> rotations(longest * pairs);
  for (size_t t = 0; t < longest; ++t) {
    for (size_t i = 0; i < pairs; ++i) {
      rotations[t * pairs + i] = pair_rotation(static_cast<double>(t) * input.rotary_frequencies[i]);
    }
  }
  OwnedArray<float> outputs(input.queries.size());
  ThreadTeam team(useful_threads(threads, sequences.size() * input.heads));
  team.share(sequences.size() * input.heads, [&](size_t item, int) {
    attend_head(input, sequences[item / input.heads], item % input.heads, rotations,
                outputs.elements.get());
  });
  return outputs;
}

void add_probabilities(std::span<const float> logits, std::span<double> sums,
                       std::span<double> spreads) {
  const size_t size = sums.size();
  std::vector<float> powers(size);
  for (size_t begin = 0; begin + size <= logits.size(); begin += size) {
    const float* row = logits.data() + begin;
    float peak = row[0];
    for (size_t v = 0; v < size; ++v) peak = std::max(peak, row[v]);
    for (size_t v = 0; v < size; ++v) powers[v] = exponential(row[v] - peak);
    double total = 0;
    for (size_t v = 0; v < size; ++v) total += powers[v];
    for (size_t v = 0; v < size; ++v) {
      const double probability = powers[v] / total;
      sums[v] += probability;
      spreads[v] += probability * (1 - probability);
    }
  }
}

}  // namespace entrofleet
