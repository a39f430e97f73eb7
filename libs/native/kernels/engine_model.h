// A Llama-family model in memory: geometry, weights, scratch and the forward pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "kernels/attention_pass.h"
#include "kernels/engine_kernels.h"
#include "kernels/key_value_cache.h"
#include "kernels/product_round.h"
#include "kernels/quantized_inputs.h"
#include "kernels/resident_matrix.h"
#include "kernels/thread_team.h"

namespace entrofleet {

struct EngineGeometry {
  size_t vocabulary_size;
  size_t hidden_size;
  size_t intermediate_size;
  size_t layers;
  size_t heads;
  size_t key_value_heads;
  size_t head_size;
  double norm_epsilon;
  // Radians per position of each rotated pair; pair i is dimensions i and i + size() of a head.
  // Dimensions from 2 * size() on are not rotated.
  std::vector<double> rotary_frequencies;
  // Long-rope: take the place of rotary_frequencies in caches of more than short_context positions.
  // Empty: they never do; else as many.
  std::vector<double> long_rotary_frequencies;
  size_t short_context;
  // Multiplies every cosine and sine (long-rope's attention factor).
  double rotary_scale;
  // For each layer the latest positions that attention sees; 0: all.
  std::vector<size_t> sliding_windows;
};

using SharedMatrix = std::shared_ptr<const ResidentMatrix>;

struct EngineLayer {
  SharedMatrix query, key, value, output, gate, up, down;
  std::vector<float> attention_norm, mlp_norm;
  // RMS norms of each head of queries and keys, before the rotation; empty: none.
  std::vector<float> query_norm, key_norm;
  // Empty: no bias.
  std::vector<float> query_bias, key_bias, value_bias, output_bias, gate_bias, up_bias, down_bias;
};

struct EngineWeights {
  SharedMatrix embedding;
  SharedMatrix head;  // the embedding itself when tied
  std::vector<float> final_norm;
  std::vector<EngineLayer> layers;
};

struct EngineOptions {
  int threads;
  bool pin_threads;
};

// Thrown by a pass that was asked to stop; the caches keep their lengths.
struct PassStopped {};

// Not thread-safe: one call at a time. Caches are only read and written by the call that is given
// them. Tokens must be below the vocabulary size and positions below the cache's capacity. Nothing
// is allocated per token. A position's results depend on what is before it in its cache and on
// nothing else: neither the block it is computed in nor the number of threads. What a matrix's
// finish() throws ends a pass, and leaves the caches' lengths as they were.
class EngineModel {
 public:
  // Positions that share one pass over the weights.
  static constexpr size_t kBlockPositions = 256;
  // Positions whose logits exist at one time while scoring.
  static constexpr size_t kLogitPositions = 32;

  // Throws std::bad_alloc or std::system_error.
  EngineModel(EngineGeometry geometry, EngineWeights weights, const EngineOptions& options);

  const EngineGeometry& geometry() const { return geometry_; }

  // Appends tokens to the cache. `logits` takes those of the last token, or of every token. `stop`
  // is heeded between layers.
  void forward(KeyValueCache& cache, std::span<const uint32_t> tokens, bool every, float* logits,
               const std::stop_token& stop);

  // Appends tokens; losses[i] is the negative log-likelihood (nats) of tokens[i + 1].
  void score(KeyValueCache& cache, std::span<const uint32_t> tokens, double* losses,
             const std::stop_token& stop);

  // Appends one token to each of several distinct caches; logits has one row per cache.
  void step(std::span<KeyValueCache* const> caches, std::span<const uint32_t> tokens,
            float* logits);

 private:
  // Which rows of a block are wanted from the last layer on: those from `first` on.
  struct Wanted {
    size_t first;
  };

  void allocate_scratch();

  void run_block(std::span<const EngineEntry> entries, Wanted wanted, const std::stop_token& stop);
  void run_layer(size_t index, std::span<const EngineEntry> entries, Wanted wanted);
  void attention_part(size_t index, std::span<const EngineEntry> entries);
  void mlp_part(const EngineLayer& layer, size_t positions);
  const std::vector<double>& frequencies_for(const KeyValueCache& cache) const;
  void embed(std::span<const EngineEntry> entries);
  void drop_rows(size_t first, size_t rows);
  void rotate_and_store(const EngineLayer& layer, size_t index, const EngineEntry& entry,
                        size_t row);
  void normalize_heads(const std::vector<float>& weight, float* heads, size_t count);
  void logits_of(size_t first_row, size_t rows, float* logits);

  // Adds what the last product left to the hidden states, if asked to, and normalizes them as
  // inputs of a matrix.
  enum class Residual { kNone, kAdd };
  struct Norm {
    const std::vector<float>& weight;
    Residual residual;
    InputForm form;
  };
  void normalize(const Norm& norm, size_t first_row, size_t rows);
  void quantize_row(const std::vector<float>& inputs, size_t columns, size_t row);
  void multiply(const std::vector<float>& inputs, size_t positions,
                std::span<const Product> products);

  template <typename Work>
  void for_each_row(size_t rows, const Work& work);

  EngineGeometry geometry_;
  EngineWeights weights_;
  ThreadTeam team_;
  const EngineKernels* kernels_;
  ProductRound round_;
  QuantizedInputs quantized_;
  AttentionPass attention_;

  // One row per position of a block.
  std::vector<float> hidden_, normalized_, queries_, keys_, values_, attended_, projected_;
  std::vector<float> gate_, up_, cosines_, sines_;
  std::vector<float> block_logits_;
};

}  // namespace entrofleet
