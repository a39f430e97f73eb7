#include "kernels/engine_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace entrofleet {
namespace {

MatrixOutputs outputs_of(const SharedMatrix& matrix, const std::vector<float>& bias,
                         std::vector<float>& values) {
  return {values.data(), matrix->rows(), bias.empty() ? nullptr : bias.data()};
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
  projected_.resize(kBlockPositions * g.hidden_size);
  cosines_.resize(kBlockPositions * g.rotary_frequencies.size());
  sines_.resize(kBlockPositions * g.rotary_frequencies.size());
  round_.measure(*weights_.head, kBlockPositions);
  for (const EngineLayer& layer : weights_.layers) {
    for (const SharedMatrix* matrix : {&layer.query, &layer.key, &layer.value, &layer.output,
                                       &layer.gate, &layer.up, &layer.down}) {
      round_.measure(**matrix, kBlockPositions);
    }
  }
  round_.allocate(team_.size());
}

template <typename Work>
void EngineModel::for_each_row(size_t rows, const Work& work) {
  team_.share(rows, [&](size_t row, int) { work(row); });
}

void EngineModel::normalize(const std::vector<float>& weight, size_t first_row, size_t rows,
                            Residual residual) {
  const size_t size = geometry_.hidden_size;
  for_each_row(rows, [&](size_t row) {
    float* const hidden = hidden_.data() + (first_row + row) * size;
    if (residual == Residual::kAdd) {
      const float* const projected = projected_.data() + (first_row + row) * size;
      for (size_t i = 0; i < size; ++i) hidden[i] += projected[i];
    }
    kernels_->normalize(hidden, weight.data(), size, geometry_.norm_epsilon,
                        normalized_.data() + row * size);
  });
}

void EngineModel::multiply(const std::vector<float>& inputs, size_t positions,
                           std::span<const Product> products) {
  MatrixInputs block;
  block.values = inputs.data();
  block.stride = products.front().matrix->columns();
  block.positions = positions;
  round_.run(team_, block, products);
}

void EngineModel::embed(std::span<const EngineEntry> entries) {
  const size_t half = geometry_.rotary_frequencies.size();
  for_each_row(entries.size(), [&](size_t row) {
    const EngineEntry& entry = entries[row];
    weights_.embedding->read_row(entry.token, hidden_.data() + row * geometry_.hidden_size);
    for (size_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(entry.position) * geometry_.rotary_frequencies[i];
      cosines_[row * half + i] = static_cast<float>(std::cos(angle) * geometry_.rotary_scale);
      sines_[row * half + i] = static_cast<float>(std::sin(angle) * geometry_.rotary_scale);
    }
  });
}

void EngineModel::normalize_heads(const std::vector<float>& weight, float* heads, size_t count) {
  if (weight.empty()) return;
  const size_t size = geometry_.head_size;
  for (size_t head = 0; head < count; ++head) {
    float* const values = heads + head * size;
    kernels_->normalize(values, weight.data(), size, geometry_.norm_epsilon, values);
  }
}

void EngineModel::rotate_and_store(const EngineLayer& layer, size_t index,
                                   const EngineEntry& entry, size_t row) {
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
  normalize_heads(layer.query_norm, queries, g.heads);
  normalize_heads(layer.key_norm, keys_.data() + row * g.key_value_heads * g.head_size,
                  g.key_value_heads);
  for (size_t head = 0; head < g.heads; ++head) rotate(queries + head * g.head_size);
  const size_t bytes = g.head_size * sizeof(float);
  for (size_t head = 0; head < g.key_value_heads; ++head) {
    const size_t at = (row * g.key_value_heads + head) * g.head_size;
    rotate(keys_.data() + at);
    std::memcpy(entry.cache->keys(index, head, entry.position), keys_.data() + at, bytes);
    std::memcpy(entry.cache->values(index, head, entry.position), values_.data() + at, bytes);
  }
}

void EngineModel::attend(size_t layer, const EngineEntry& entry, size_t row,
                         size_t key_value_head, float* scores) {
  const EngineGeometry& g = geometry_;
  const size_t group = g.heads / g.key_value_heads;
  const size_t begin = visible_begin(entry.position, g.sliding_windows[layer]);
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
  normalize(layer.attention_norm, 0, positions, index == 0 ? Residual::kNone : Residual::kAdd);
  const Product inputs[] = {{layer.query.get(), outputs_of(layer.query, layer.query_bias, queries_)},
                            {layer.key.get(), outputs_of(layer.key, layer.key_bias, keys_)},
                            {layer.value.get(), outputs_of(layer.value, layer.value_bias, values_)}};
  multiply(normalized_, positions, inputs);
  for_each_row(positions, [&](size_t row) { rotate_and_store(layer, index, entries[row], row); });

  const size_t items = positions * g.key_value_heads;
  const size_t scores_each = scores_.size() / static_cast<size_t>(team_.size());
  team_.share(items, [&](size_t item, int member) {
    const size_t row = item / g.key_value_heads;
    attend(index, entries[row], row, item % g.key_value_heads,
           scores_.data() + scores_each * static_cast<size_t>(member));
  });
  const Product back{layer.output.get(), outputs_of(layer.output, layer.output_bias, projected_)};
  multiply(attended_, positions, {&back, 1});
}

void EngineModel::mlp_part(const EngineLayer& layer, size_t positions) {
  normalize(layer.mlp_norm, 0, positions, Residual::kAdd);
  const Product inputs[] = {{layer.gate.get(), outputs_of(layer.gate, layer.gate_bias, gate_)},
                            {layer.up.get(), outputs_of(layer.up, layer.up_bias, up_)}};
  multiply(normalized_, positions, inputs);
  const size_t size = geometry_.intermediate_size;
  for_each_row(positions, [&](size_t row) {
    kernels_->gate(gate_.data() + row * size, up_.data() + row * size, size);
  });
  const Product down{layer.down.get(), outputs_of(layer.down, layer.down_bias, projected_)};
  multiply(gate_, positions, {&down, 1});
}

size_t EngineModel::scores_per_member(std::span<const EngineEntry> entries) const {
  size_t longest = 0;
  for (const EngineEntry& entry : entries) {
    longest = std::max(longest, entry.cache->capacity());
  }
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
  normalize(weights_.final_norm, first_row, rows, Residual::kAdd);
  const Product head{weights_.head.get(), {logits, geometry_.vocabulary_size, nullptr}};
  multiply(normalized_, rows, {&head, 1});
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
