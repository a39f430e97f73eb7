#include "kernels/engine_model.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "kernels/rotation.h"

namespace entrofleet {
namespace {

MatrixOutputs outputs_of(const SharedMatrix& matrix, const std::vector<float>& bias,
                         std::vector<float>& values) {
  return {values.data(), matrix->rows(), bias.empty() ? nullptr : bias.data()};
}

// The form that any of the matrices, which share their inputs, reads besides floats.
InputForm form_of(std::initializer_list<const SharedMatrix*> matrices) {
  for (const SharedMatrix* matrix : matrices) {
    if ((*matrix)->input_form() == InputForm::kQuantized) return InputForm::kQuantized;
  }
  return InputForm::kFloat;
}

void rotate(float* heads, size_t count, size_t head_size, const float* cosines, const float* sines,
            size_t half) {
  for (float* head = heads; head < heads + count * head_size; head += head_size) {
    for (size_t i = 0; i < half; ++i) {
      const float first = head[i];
      const float second = head[i + half];
      head[i] = first * cosines[i] - second * sines[i];
      head[i + half] = second * cosines[i] + first * sines[i];
    }
  }
}

}  // namespace

EngineModel::EngineModel(EngineGeometry geometry, EngineWeights weights,
                         const EngineOptions& options)
    : geometry_(std::move(geometry)),
      weights_(std::move(weights)),
      team_(options.threads, options.pin_threads ? Pinning::kEach : Pinning::kNone),
      kernels_(&engine_kernels(active_isa())),
      quantized_(kBlockPositions, std::max({geometry_.hidden_size, geometry_.intermediate_size,
                                            geometry_.heads * geometry_.head_size})),
      attention_({geometry_.heads, geometry_.key_value_heads, geometry_.head_size},
                 team_.size()) {
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

void EngineModel::quantize_row(const std::vector<float>& inputs, size_t columns, size_t row) {
  quantized_.quantize(*kernels_, inputs.data() + row * columns, columns, row);
}

void EngineModel::normalize(const Norm& norm, size_t first_row, size_t rows) {
  const size_t size = geometry_.hidden_size;
  for_each_row(rows, [&](size_t row) {
    float* const hidden = hidden_.data() + (first_row + row) * size;
    if (norm.residual == Residual::kAdd) {
      const float* const projected = projected_.data() + (first_row + row) * size;
      for (size_t i = 0; i < size; ++i) hidden[i] += projected[i];
    }
    kernels_->normalize(hidden, norm.weight.data(), size, geometry_.norm_epsilon,
                        normalized_.data() + row * size);
    if (norm.form == InputForm::kQuantized) quantize_row(normalized_, size, row);
  });
}

void EngineModel::multiply(const std::vector<float>& inputs, size_t positions,
                           std::span<const Product> products) {
  MatrixInputs block;
  block.values = inputs.data();
  block.stride = products.front().matrix->columns();
  block.positions = positions;
  block.quantized = quantized_.view(block.stride, positions);
  round_.run(team_, block, products);
}

const std::vector<double>& EngineModel::frequencies_for(const KeyValueCache& cache) const {
  const EngineGeometry& g = geometry_;
  const bool is_long = !g.long_rotary_frequencies.empty() && cache.capacity() > g.short_context;
  return is_long ? g.long_rotary_frequencies : g.rotary_frequencies;
}

void EngineModel::embed(std::span<const EngineEntry> entries) {
  const size_t half = geometry_.rotary_frequencies.size();
  for_each_row(entries.size(), [&](size_t row) {
    const EngineEntry& entry = entries[row];
    const std::vector<double>& frequencies = frequencies_for(*entry.cache);
    for (size_t i = 0; i < half; ++i) {
      const Rotation rotation =
          rotation_of(static_cast<double>(entry.position) * frequencies[i]);
      cosines_[row * half + i] = static_cast<float>(rotation.cosine * geometry_.rotary_scale);
      sines_[row * half + i] = static_cast<float>(rotation.sine * geometry_.rotary_scale);
    }
  });
  // Reading a row may throw, which threads of the team must not.
  for (size_t row = 0; row < entries.size(); ++row) {
    weights_.embedding->read_row(entries[row].token,
                                 hidden_.data() + row * geometry_.hidden_size);
  }
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
  const float* const cosines = cosines_.data() + row * half;
  const float* const sines = sines_.data() + row * half;
  float* const queries = queries_.data() + row * g.heads * g.head_size;
  float* const keys = keys_.data() + row * g.key_value_heads * g.head_size;
  const float* const values = values_.data() + row * g.key_value_heads * g.head_size;
  normalize_heads(layer.query_norm, queries, g.heads);
  normalize_heads(layer.key_norm, keys, g.key_value_heads);
  rotate(queries, g.heads, g.head_size, cosines, sines, half);
  rotate(keys, g.key_value_heads, g.head_size, cosines, sines, half);
  for (size_t head = 0; head < g.key_value_heads; ++head) {
    kernels_->store_key_value(entry.cache->slot(index, head, entry.position),
                              keys + head * g.head_size, values + head * g.head_size);
  }
}

// Writes keys and values of all entries.
void EngineModel::attention_part(size_t index, std::span<const EngineEntry> entries) {
  const EngineLayer& layer = weights_.layers[index];
  const size_t positions = entries.size();
  normalize({layer.attention_norm, index == 0 ? Residual::kNone : Residual::kAdd,
             form_of({&layer.query, &layer.key, &layer.value})},
            0, positions);
  const Product inputs[] = {
      {layer.query.get(), outputs_of(layer.query, layer.query_bias, queries_)},
      {layer.key.get(), outputs_of(layer.key, layer.key_bias, keys_)},
      {layer.value.get(), outputs_of(layer.value, layer.value_bias, values_)}};
  multiply(normalized_, positions, inputs);
  for_each_row(positions, [&](size_t row) { rotate_and_store(layer, index, entries[row], row); });
}

void EngineModel::mlp_part(const EngineLayer& layer, size_t positions) {
  normalize({layer.mlp_norm, Residual::kAdd, form_of({&layer.gate, &layer.up})}, 0, positions);
  const Product inputs[] = {{layer.gate.get(), outputs_of(layer.gate, layer.gate_bias, gate_)},
                            {layer.up.get(), outputs_of(layer.up, layer.up_bias, up_)}};
  multiply(normalized_, positions, inputs);
  const size_t size = geometry_.intermediate_size;
  const bool quantizes = layer.down->input_form() == InputForm::kQuantized;
  for_each_row(positions, [&](size_t row) {
    kernels_->gate(gate_.data() + row * size, up_.data() + row * size, size);
    if (quantizes) quantize_row(gate_, size, row);
  });
  const Product down{layer.down.get(), outputs_of(layer.down, layer.down_bias, projected_)};
  multiply(gate_, positions, {&down, 1});
}

// Moves rows `first` to rows - 1 to the front of what a layer still reads after attention_part().
void EngineModel::drop_rows(size_t first, size_t rows) {
  const auto move = [&](std::vector<float>& values, size_t size) {
    std::copy(values.data() + first * size, values.data() + rows * size, values.data());
  };
  move(hidden_, geometry_.hidden_size);
  move(queries_, geometry_.heads * geometry_.head_size);
}

void EngineModel::run_layer(size_t index, std::span<const EngineEntry> entries, Wanted wanted) {
  const EngineLayer& layer = weights_.layers[index];
  attention_part(index, entries);
  // Nothing but keys and values is needed of the last layer's other rows.
  if (index + 1 == geometry_.layers && wanted.first > 0) {
    drop_rows(wanted.first, entries.size());
    entries = entries.subspan(wanted.first);
    if (entries.empty()) return;
    attention_.prepare(entries);
  }
  attention_.run(*kernels_, team_,
                 {entries, index, geometry_.sliding_windows[index], queries_.data(),
                  attended_.data()});
  if (layer.output->input_form() == InputForm::kQuantized) {
    for_each_row(entries.size(),
                 [&](size_t row) { quantize_row(attended_, layer.output->columns(), row); });
  }
  const Product back{layer.output.get(), outputs_of(layer.output, layer.output_bias, projected_)};
  multiply(attended_, entries.size(), {&back, 1});
  mlp_part(layer, entries.size());
}

void EngineModel::run_block(std::span<const EngineEntry> entries, Wanted wanted,
                            const std::stop_token& stop) {
  kernels_ = &engine_kernels(active_isa());
  attention_.prepare(entries);
  embed(entries);
  for (size_t index = 0; index < geometry_.layers; ++index) {
    if (stop.stop_requested()) throw PassStopped{};
    run_layer(index, entries, wanted);
  }
}

// Of rows of the block's last layer.
void EngineModel::logits_of(size_t first_row, size_t rows, float* logits) {
  normalize({weights_.final_norm, Residual::kAdd, weights_.head->input_form()}, first_row, rows);
  const Product head{weights_.head.get(), {logits, geometry_.vocabulary_size, nullptr}};
  multiply(normalized_, rows, {&head, 1});
}

void EngineModel::forward(KeyValueCache& cache, std::span<const uint32_t> tokens, bool every,
                          float* logits, const std::stop_token& stop) {
  const CallerPin pin(team_);
  const size_t start = cache.length();
  EngineEntry entries[kBlockPositions];
  for (size_t done = 0; done < tokens.size();) {
    const size_t size = std::min(kBlockPositions, tokens.size() - done);
    for (size_t i = 0; i < size; ++i) {
      entries[i] = {&cache, start + done + i, tokens[done + i]};
    }
    const bool last = done + size == tokens.size();
    run_block({entries, size}, {every ? 0 : last ? size - 1 : size}, stop);
    if (every) {
      logits_of(0, size, logits + done * geometry_.vocabulary_size);
    } else if (last) {
      logits_of(0, 1, logits);
    }
    done += size;
  }
  cache.set_length(start + tokens.size());
}

void EngineModel::score(KeyValueCache& cache, std::span<const uint32_t> tokens, double* losses,
                        const std::stop_token& stop) {
  const CallerPin pin(team_);
  const size_t start = cache.length();
  const size_t vocabulary = geometry_.vocabulary_size;
  block_logits_.resize(kLogitPositions * vocabulary);
  EngineEntry entries[kBlockPositions];
  for (size_t done = 0; done < tokens.size();) {
    const size_t size = std::min(kBlockPositions, tokens.size() - done);
    for (size_t i = 0; i < size; ++i) {
      entries[i] = {&cache, start + done + i, tokens[done + i]};
    }
    run_block({entries, size}, {0}, stop);
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
  const CallerPin pin(team_);
  EngineEntry entries[kBlockPositions];
  for (size_t done = 0; done < caches.size();) {
    const size_t size = std::min(kBlockPositions, caches.size() - done);
    for (size_t i = 0; i < size; ++i) {
      entries[i] = {caches[done + i], caches[done + i]->length(), tokens[done + i]};
    }
    run_block({entries, size}, {0}, {});
    logits_of(0, size, logits + done * geometry_.vocabulary_size);
    done += size;
  }
  for (KeyValueCache* cache : caches) cache->set_length(cache->length() + 1);
}

}  // namespace entrofleet
