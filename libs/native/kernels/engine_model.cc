#include "kernels/engine_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace entrofleet {
namespace {

// Slices of rows are multiples of this, so that only the last one has a partial tile.
constexpr size_t kSliceRows = 8;
// Enough that a thread which is held up leaves most of its share to the others.
constexpr size_t kSlicesPerMember = 4;

void dequantize_row(const WeightMatrix& matrix, size_t row, float* output) {
  const size_t first = row * matrix.columns;
  if (matrix.format == WeightFormat::kFloat32) {
    std::memcpy(output, static_cast<const float*>(matrix.data) + first,
                matrix.columns * sizeof(float));
    return;
  }
  const uint8_t* symbols = static_cast<const uint8_t*>(matrix.data);
  const float step = matrix.steps[matrix.step_per_row ? row : 0];
  for (size_t c = 0; c < matrix.columns; ++c) {
    const size_t i = first + c;
    const int symbol = matrix.format == WeightFormat::kUint8
                           ? symbols[i]
                           : (symbols[i >> 1] >> (4 * (i & 1))) & 15;
    output[c] = step * (static_cast<float>(symbol) - matrix.zero_point);
  }
}

size_t visible_begin(size_t position, size_t window) {
  return window != 0 && position + 1 > window ? position + 1 - window : 0;
}

}  // namespace

EngineModel::EngineModel(EngineGeometry geometry, EngineWeights weights, int threads)
    : geometry_(std::move(geometry)),
      weights_(std::move(weights)),
      team_(threads),
      kernels_(&engine_kernels(active_isa())) {
  allocate_scratch();
}

void EngineModel::allocate_scratch() {
  const EngineGeometry& g = geometry_;
  const size_t query_size = g.heads * g.head_size;
  const size_t key_size = g.key_value_heads * g.head_size;
  hidden_.resize(kBlockPositions * g.hidden_size);
  normalized_.resize(kBlockPositions * g.hidden_size);
  queries_.resize(kBlockPositions * query_size);
  keys_.resize(kBlockPositions * key_size);
  values_.resize(kBlockPositions * key_size);
  attended_.resize(kBlockPositions * query_size);
  gate_.resize(kBlockPositions * g.intermediate_size);
  up_.resize(kBlockPositions * g.intermediate_size);
  sums_.resize(kBlockPositions);
  cosines_.resize(kBlockPositions * g.rotary_frequencies.size());
  sines_.resize(kBlockPositions * g.rotary_frequencies.size());
  unpack_bytes_ =
      kUnpackedRows * std::max({g.hidden_size, g.intermediate_size, query_size});
  unpacked_.resize(unpack_bytes_ * static_cast<size_t>(team_.size()));
}

template <typename Work>
void EngineModel::for_each_row(size_t rows, const Work& work) {
  team_.share(rows, [&](size_t row, int) { work(row); });
}

template <typename Work>
void EngineModel::for_each_slice(size_t rows, const Work& work) {
  const size_t tiles = (rows + kSliceRows - 1) / kSliceRows;
  const size_t members = static_cast<size_t>(team_.size());
  const size_t slices = members == 1 ? 1 : std::min(tiles, members * kSlicesPerMember);
  team_.share(slices, [&](size_t slice, int member) {
    const size_t begin = tiles * slice / slices * kSliceRows;
    const size_t end = tiles * (slice + 1) / slices * kSliceRows;
    work(begin, std::min(end, rows),
         unpacked_.data() + unpack_bytes_ * static_cast<size_t>(member));
  });
}

MatrixProduct EngineModel::product(const WeightMatrix& weights, const std::vector<float>& bias,
                                   const float* inputs, size_t positions, float* outputs) const {
  return {&weights, bias.empty() ? nullptr : bias.data(),
          inputs,   weights.columns,
          sums_.data(), positions,
          outputs,  weights.rows,
          false};
}

void EngineModel::sum_inputs(const float* inputs, size_t columns, size_t rows) {
  for_each_row(rows, [&](size_t row) {
    sums_[row] = kernels_->sum(inputs + row * columns, columns);
  });
}

void EngineModel::normalize(const std::vector<float>& weight, size_t first_row, size_t rows) {
  const size_t size = geometry_.hidden_size;
  for_each_row(rows, [&](size_t row) {
    float* output = normalized_.data() + row * size;
    kernels_->normalize(hidden_.data() + (first_row + row) * size, weight.data(), size,
                        geometry_.norm_epsilon, output);
    sums_[row] = kernels_->sum(output, size);
  });
}

void EngineModel::embed(std::span<const EngineEntry> entries) {
  const size_t half = geometry_.rotary_frequencies.size();
  for_each_row(entries.size(), [&](size_t row) {
    const EngineEntry& entry = entries[row];
    dequantize_row(weights_.embedding, entry.token,
                   hidden_.data() + row * geometry_.hidden_size);
    for (size_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(entry.position) * geometry_.rotary_frequencies[i];
      cosines_[row * half + i] = static_cast<float>(std::cos(angle));
      sines_[row * half + i] = static_cast<float>(std::sin(angle));
    }
  });
}

void EngineModel::rotate_and_store(size_t layer, const EngineEntry& entry, size_t row) {
  const EngineGeometry& g = geometry_;
  const size_t half = g.rotary_frequencies.size();
  const float* cosines = cosines_.data() + row * half;
  const float* sines = sines_.data() + row * half;
  const auto rotate = [&](float* head) {
    for (size_t i = 0; i < half; ++i) {
      const float first = head[i];
      const float second = head[i + half];
      head[i] = first * cosines[i] - second * sines[i];
      head[i + half] = second * cosines[i] + first * sines[i];
    }
  };
  float* queries = queries_.data() + row * g.heads * g.head_size;
  for (size_t head = 0; head < g.heads; ++head) rotate(queries + head * g.head_size);
  const size_t bytes = g.head_size * sizeof(float);
  for (size_t head = 0; head < g.key_value_heads; ++head) {
    const size_t at = (row * g.key_value_heads + head) * g.head_size;
    rotate(keys_.data() + at);
    std::memcpy(entry.cache->keys(layer, head, entry.position), keys_.data() + at, bytes);
    std::memcpy(entry.cache->values(layer, head, entry.position), values_.data() + at, bytes);
  }
}

void EngineModel::attend(size_t layer, const EngineEntry& entry, size_t row,
                         size_t key_value_head, float* scores) {
  const EngineGeometry& g = geometry_;
  const size_t group = g.heads / g.key_value_heads;
  const size_t begin = visible_begin(entry.position, g.sliding_window);
  const size_t at = (row * g.heads + key_value_head * group) * g.head_size;
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(g.head_size)));
  kernels_->attend({queries_.data() + at, group, g.head_size,
                    entry.cache->keys(layer, key_value_head, begin),
                    entry.cache->values(layer, key_value_head, begin),
                    entry.position + 1 - begin, scale, scores, attended_.data() + at});
}

void EngineModel::attention_part(const EngineLayer& layer, size_t index,
                                 std::span<const EngineEntry> entries) {
  const EngineGeometry& g = geometry_;
  const size_t positions = entries.size();
  normalize(layer.attention_norm, 0, positions);
  const MatrixProduct products[] = {
      product(layer.query, layer.query_bias, normalized_.data(), positions, queries_.data()),
      product(layer.key, layer.key_bias, normalized_.data(), positions, keys_.data()),
      product(layer.value, layer.value_bias, normalized_.data(), positions, values_.data())};
  const size_t query_rows = layer.query.rows;
  const size_t key_rows = layer.key.rows;
  // The three products are one list of rows, so that threads share it evenly.
  for_each_slice(query_rows + 2 * key_rows, [&](size_t begin, size_t end, uint8_t* scratch) {
    size_t offset = 0;
    for (const MatrixProduct& part : products) {
      const size_t rows = part.weights->rows;
      const size_t from = std::max(begin, offset);
      const size_t to = std::min(end, offset + rows);
      if (from < to) kernels_->multiply(part, from - offset, to - offset, scratch);
      offset += rows;
    }
  });
  for_each_row(positions, [&](size_t row) { rotate_and_store(index, entries[row], row); });

  const size_t items = positions * g.key_value_heads;
  const size_t scores_each = scores_.size() / static_cast<size_t>(team_.size());
  team_.share(items, [&](size_t item, int member) {
    const size_t row = item / g.key_value_heads;
    attend(index, entries[row], row, item % g.key_value_heads,
           scores_.data() + scores_each * static_cast<size_t>(member));
  });

  sum_inputs(attended_.data(), layer.output.columns, positions);
  MatrixProduct back =
      product(layer.output, layer.output_bias, attended_.data(), positions, hidden_.data());
  back.accumulate = true;
  for_each_slice(layer.output.rows, [&](size_t begin, size_t end, uint8_t* scratch) {
    kernels_->multiply(back, begin, end, scratch);
  });
}

void EngineModel::mlp_part(const EngineLayer& layer, size_t positions) {
  normalize(layer.mlp_norm, 0, positions);
  const MatrixProduct gate =
      product(layer.gate, layer.gate_bias, normalized_.data(), positions, gate_.data());
  const MatrixProduct up =
      product(layer.up, layer.up_bias, normalized_.data(), positions, up_.data());
  const size_t rows = layer.gate.rows;
  for_each_slice(rows, [&](size_t begin, size_t end, uint8_t* scratch) {
    kernels_->multiply(gate, begin, end, scratch);
    kernels_->multiply(up, begin, end, scratch);
    for (size_t p = 0; p < positions; ++p) {
      kernels_->gate(gate_.data() + p * rows + begin, up_.data() + p * rows + begin, end - begin);
    }
  });
  sum_inputs(gate_.data(), rows, positions);
  MatrixProduct down =
      product(layer.down, layer.down_bias, gate_.data(), positions, hidden_.data());
  down.accumulate = true;
  for_each_slice(layer.down.rows, [&](size_t begin, size_t end, uint8_t* scratch) {
    kernels_->multiply(down, begin, end, scratch);
  });
}

size_t EngineModel::scores_per_member(std::span<const EngineEntry> entries) const {
  size_t longest = 0;
  for (const EngineEntry& entry : entries) {
    longest = std::max(longest, entry.cache->capacity());
  }
  if (geometry_.sliding_window != 0) longest = std::min(longest, geometry_.sliding_window);
  return longest * (geometry_.heads / geometry_.key_value_heads);
}

void EngineModel::run_block(std::span<const EngineEntry> entries) {
  kernels_ = &engine_kernels(active_isa());
  const size_t scores = scores_per_member(entries) * static_cast<size_t>(team_.size());
  if (scores > scores_.size()) scores_.resize(scores);
  embed(entries);
  for (size_t index = 0; index < geometry_.layers; ++index) {
    attention_part(weights_.layers[index], index, entries);
    mlp_part(weights_.layers[index], entries.size());
  }
}

void EngineModel::logits_of(size_t first_row, size_t rows, float* logits) {
  normalize(weights_.final_norm, first_row, rows);
  const MatrixProduct head = product(weights_.head, {}, normalized_.data(), rows, logits);
  for_each_slice(weights_.head.rows, [&](size_t begin, size_t end, uint8_t* scratch) {
    kernels_->multiply(head, begin, end, scratch);
  });
}

void EngineModel::forward(KeyValueCache& cache, std::span<const uint32_t> tokens, bool every,
                          float* logits) {
  const size_t start = cache.length();
  EngineEntry entries[kBlockPositions];
  for (size_t done = 0; done < tokens.size();) {
    const size_t size = std::min(kBlockPositions, tokens.size() - done);
    for (size_t i = 0; i < size; ++i) {
      entries[i] = {&cache, start + done + i, tokens[done + i]};
    }
    run_block({entries, size});
    if (every) logits_of(0, size, logits + done * geometry_.vocabulary_size);
    done += size;
    if (!every && done == tokens.size()) logits_of(size - 1, 1, logits);
  }
  cache.set_length(start + tokens.size());
}

void EngineModel::score(KeyValueCache& cache, std::span<const uint32_t> tokens, double* losses) {
  const size_t start = cache.length();
  const size_t vocabulary = geometry_.vocabulary_size;
  block_logits_.resize(kLogitPositions * vocabulary);
  EngineEntry entries[kBlockPositions];
  for (size_t done = 0; done < tokens.size();) {
    const size_t size = std::min(kBlockPositions, tokens.size() - done);
    for (size_t i = 0; i < size; ++i) {
      entries[i] = {&cache, start + done + i, tokens[done + i]};
    }
    run_block({entries, size});
    // The last token has no successor to be scored.
    const size_t scored = std::min(size, tokens.size() - 1 - done);
    for (size_t first = 0; first < scored; first += kLogitPositions) {
      const size_t rows = std::min(kLogitPositions, scored - first);
      logits_of(first, rows, block_logits_.data());
      for_each_row(rows, [&](size_t row) {
        const float* logits = block_logits_.data() + row * vocabulary;
        const size_t at = done + first + row;
        losses[at] = kernels_->log_sum_exp(logits, vocabulary) - logits[tokens[at + 1]];
      });
    }
    done += size;
  }
  cache.set_length(start + tokens.size());
}

void EngineModel::step(std::span<KeyValueCache* const> caches, std::span<const uint32_t> tokens,
                       float* logits) {
  EngineEntry entries[kBlockPositions];
  for (size_t done = 0; done < caches.size();) {
    const size_t size = std::min(kBlockPositions, caches.size() - done);
    for (size_t i = 0; i < size; ++i) {
      entries[i] = {caches[done + i], caches[done + i]->length(), tokens[done + i]};
    }
    run_block({entries, size});
    logits_of(0, size, logits + done * geometry_.vocabulary_size);
    done += size;
  }
  for (KeyValueCache* cache : caches) cache->set_length(cache->length() + 1);
}

}  // namespace entrofleet
