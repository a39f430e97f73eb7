// What the attention kernels work on: stored keys and values, and queries against a chunk of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace entrofleet {

enum class KeyValueFormat { kFloat32, kFloat16, kInt8 };

constexpr size_t element_bytes(KeyValueFormat format) {
  switch (format) {
    case KeyValueFormat::kFloat16: return 2;
    case KeyValueFormat::kInt8: return 1;
    default: return 4;
  }
}

// Positions whose keys are interleaved: the widest vector of floats.
constexpr size_t kKeyBlock = 16;

// Attention goes over the positions in chunks that begin at multiples of this, and always merges
// them in order, so that its bits depend neither on how many queries run together nor on how the
// chunks are spread over threads.
constexpr size_t kChunkPositions = 256;
static_assert(kChunkPositions % kKeyBlock == 0);

// Elements from one value to the next, so that vectors never have a partial one at the end.
constexpr size_t value_stride(size_t head_size) { return (head_size + 15) / 16 * 16; }

// Where one position's key and value of one head are stored.
struct KeyValueSlot {
  KeyValueFormat format;
  size_t head_size;
  void* key;    // element i at i * kKeyBlock
  void* value;  // element i at i
  float* key_scale;
  float* value_scale;  // both null unless int8
};

// Stored positions of one head, the first one at the begin of a block of keys.
struct KeyValueRun {
  KeyValueFormat format;
  size_t head_size;
  const void* keys;
  const void* values;
  const float* key_scales;
  const float* value_scales;
};

// Softmax over some positions, not yet divided: weights are exp(score - peak), `total` is their
// sum. Rows of `outputs` (the weighted sums of values) are value_stride(head_size) apart.
struct AttentionSums {
  float* peaks;
  float* totals;  // 0 where a query sees nothing
  float* outputs;
};

// Queries of one key-value head against one chunk.
struct AttentionChunk {
  KeyValueRun run;
  size_t positions;      // 1..kChunkPositions
  const float* queries;  // rows x head_size, multiplied by the scale of the scores
  size_t rows;
  // Row r sees positions begins[r]..ends[r]-1 of the chunk, ends[r] <= positions.
  const uint32_t* begins;
  const uint32_t* ends;
  float* scores;  // scratch, rows x kChunkPositions
  AttentionSums sums;
};

}  // namespace entrofleet
