// Softmax attention of queries that share a key-value head over one chunk of positions, and the
// storing of keys and values. The bits are the same on every instruction set: sums run in an order
// that does not depend on the vectors' width, and each product is rounded together with its sum.

constexpr size_t kBlockVectors = kKeyBlock / Lanes::kWidth;

// scores[r][p] = dot(queries[r], key p), for kRows queries and a block of kKeyBlock positions. Each
// sum is taken dimension by dimension, so that it does not depend on the number of rows.
template <size_t kRows, typename Element>
inline void score_block(const Element* block, const float* queries, size_t head_size,
                        float* scores) {
  typename Lanes::Float sums[kRows][kBlockVectors];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kBlockVectors; ++v) sums[r][v] = Lanes::zero();
  }
  for (size_t d = 0; d < head_size; ++d) {
    typename Lanes::Float keys[kBlockVectors];
    for (size_t v = 0; v < kBlockVectors; ++v) {
      keys[v] = Lanes::load(block + d * kKeyBlock + v * Lanes::kWidth);
    }
    for (size_t r = 0; r < kRows; ++r) {
      const typename Lanes::Float query = Lanes::broadcast(queries[r * head_size + d]);
      for (size_t v = 0; v < kBlockVectors; ++v) {
        sums[r][v] = Lanes::fused_multiply_add(query, keys[v], sums[r][v]);
      }
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kBlockVectors; ++v) {
      Lanes::store(scores + r * kChunkPositions + v * Lanes::kWidth, sums[r][v]);
    }
  }
}

// The whole blocks that hold the chunk's positions are read: a cache has room for whole blocks, and
// `scores` for a whole chunk.
template <typename Element>
inline void score_chunk(const AttentionChunk& chunk) {
  const size_t head_size = chunk.run.head_size;
  for (size_t first = 0; first < chunk.positions; first += kKeyBlock) {
    const Element* block = static_cast<const Element*>(chunk.run.keys) + first * head_size;
    const auto part = [&](size_t row, auto rows) {
      score_block<decltype(rows)::value>(block, chunk.queries + row * head_size, head_size,
                                         chunk.scores + row * kChunkPositions + first);
    };
    size_t row = 0;
    if constexpr (Lanes::kRegisters >= 32) {
      for (; row + 8 <= chunk.rows; row += 8) part(row, Count<8>{});
    }
    for (; row + 4 <= chunk.rows; row += 4) part(row, Count<4>{});
    for (; row < chunk.rows; ++row) part(row, Count<1>{});
  }
}

// Turns a row's scores into weights, 0 where it sees nothing. Both loops have sixteen independent
// lanes, whatever the vectors' width.
inline void weigh_row(const AttentionChunk& chunk, size_t row) {
  float* const scores = chunk.scores + row * kChunkPositions;
  const size_t begin = chunk.begins[row];
  const size_t end = chunk.ends[row];
  if (begin >= end) {
    for (size_t j = 0; j < chunk.positions; ++j) scores[j] = 0;
    chunk.sums.peaks[row] = -__builtin_inff();
    chunk.sums.totals[row] = 0;
    return;
  }
  if (chunk.run.key_scales != nullptr) {
    for (size_t j = begin; j < end; ++j) scores[j] *= chunk.run.key_scales[j];
  }
  const float peak = largest(scores + begin, end - begin);
  for (size_t j = 0; j < begin; ++j) scores[j] = 0;
  for (size_t j = begin; j < end; ++j) scores[j] = exponential(scores[j] - peak);
  const size_t padded = (chunk.positions + 15) / 16 * 16;
  for (size_t j = end; j < padded; ++j) scores[j] = 0;
  float lanes[16] = {};
  for (size_t j = 0; j < padded; j += 16) {
    for (size_t k = 0; k < 16; ++k) lanes[k] += scores[j + k];
  }
  for (size_t half = 8; half > 0; half /= 2) {
    for (size_t k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  }
  chunk.sums.peaks[row] = peak;
  chunk.sums.totals[row] = lanes[0];
  if (chunk.run.value_scales != nullptr) {
    for (size_t j = begin; j < end; ++j) scores[j] *= chunk.run.value_scales[j];
  }
}

// outputs[r][d] = sum over positions of weights[r][j] * values[j][d], position by position. Weights
// of 0 change nothing, so that all rows may run over the positions that any of them sees.
template <size_t kRows, size_t kVectors, typename Element>
inline void weigh_values(const AttentionChunk& chunk, size_t row, size_t dimension) {
  const size_t stride = value_stride(chunk.run.head_size);
  size_t begin = chunk.begins[row];
  size_t end = chunk.ends[row];
  for (size_t r = 1; r < kRows; ++r) {
    begin = chunk.begins[row + r] < begin ? chunk.begins[row + r] : begin;
    end = chunk.ends[row + r] > end ? chunk.ends[row + r] : end;
  }
  const Element* const values = static_cast<const Element*>(chunk.run.values) + dimension;
  const float* const weights = chunk.scores + row * kChunkPositions;
  typename Lanes::Float sums[kRows][kVectors];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVectors; ++v) sums[r][v] = Lanes::zero();
  }
  for (size_t j = begin; j < end; ++j) {
    typename Lanes::Float value[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      value[v] = Lanes::load(values + j * stride + v * Lanes::kWidth);
    }
    for (size_t r = 0; r < kRows; ++r) {
      const typename Lanes::Float weight = Lanes::broadcast(weights[r * kChunkPositions + j]);
      for (size_t v = 0; v < kVectors; ++v) {
        sums[r][v] = Lanes::fused_multiply_add(weight, value[v], sums[r][v]);
      }
    }
  }
  float* const outputs = chunk.sums.outputs + row * stride + dimension;
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVectors; ++v) {
      Lanes::store(outputs + r * stride + v * Lanes::kWidth, sums[r][v]);
    }
  }
}

template <size_t kRows, typename Element>
inline void weigh_rows(const AttentionChunk& chunk, size_t row) {
  constexpr size_t kVectors = Lanes::kRegisters >= 32 ? 4 : 2;
  const size_t stride = value_stride(chunk.run.head_size);
  size_t d = 0;
  for (; d + kVectors * Lanes::kWidth <= stride; d += kVectors * Lanes::kWidth) {
    weigh_values<kRows, kVectors, Element>(chunk, row, d);
  }
  // The stride is a multiple of 16, hence of every vector's width.
  for (; d < stride; d += Lanes::kWidth) weigh_values<kRows, 1, Element>(chunk, row, d);
}

template <typename Element>
inline void attend_elements(const AttentionChunk& chunk) {
  score_chunk<Element>(chunk);
  for (size_t row = 0; row < chunk.rows; ++row) weigh_row(chunk, row);
  size_t row = 0;
  for (; row + 4 <= chunk.rows; row += 4) weigh_rows<4, Element>(chunk, row);
  for (; row < chunk.rows; ++row) weigh_rows<1, Element>(chunk, row);
}

static void attend(const AttentionChunk& chunk) {
  switch (chunk.run.format) {
    case KeyValueFormat::kFloat32: return attend_elements<float>(chunk);
    case KeyValueFormat::kFloat16: return attend_elements<Float16>(chunk);
    case KeyValueFormat::kInt8: return attend_elements<int8_t>(chunk);
  }
}

// Adds row `from_row` of `from`, which covers later positions, to row `to_row` of `to`.
static void merge_attention(const AttentionSums& from, size_t from_row, const AttentionSums& to,
                            size_t to_row, size_t stride) {
  const float* added = from.outputs + from_row * stride;
  float* outputs = to.outputs + to_row * stride;
  if (from.totals[from_row] == 0) return;
  if (to.totals[to_row] == 0) {
    to.peaks[to_row] = from.peaks[from_row];
    to.totals[to_row] = from.totals[from_row];
    for (size_t d = 0; d < stride; ++d) outputs[d] = added[d];
    return;
  }
  const float before = to.peaks[to_row];
  const float peak = before > from.peaks[from_row] ? before : from.peaks[from_row];
  const float kept = exponential(before - peak);
  const float share = exponential(from.peaks[from_row] - peak);
  to.peaks[to_row] = peak;
  to.totals[to_row] = to.totals[to_row] * kept + from.totals[from_row] * share;
  for (size_t d = 0; d < stride; ++d) outputs[d] = outputs[d] * kept + added[d] * share;
}

template <size_t kStep>
inline void store_float16(const float* values, size_t count, void* stored) {
  // Beyond the range the largest number is nearer than infinity, which would spoil the softmax.
  constexpr float kLargest = 65504;
  uint16_t* const to = static_cast<uint16_t*>(stored);
  for (size_t i = 0; i < count; ++i) {
    float value = values[i];
    value = value > kLargest ? kLargest : value;
    value = value < -kLargest ? -kLargest : value;
    to[i * kStep] = to_float16(value);
  }
}

// symbol = round(value * 127 / largest magnitude), to nearest, ties to even.
template <size_t kStep>
inline void store_int8(const float* values, size_t count, void* stored, float* scale) {
  float magnitude = 0;
  for (size_t i = 0; i < count; ++i) {
    const float own = __builtin_fabsf(values[i]);
    magnitude = own > magnitude ? own : magnitude;
  }
  *scale = magnitude / 127;
  // A magnitude so small that its inverse overflows is stored as 0.
  const float inverse = magnitude > 1e-30f ? 127 / magnitude : 0;
  int8_t* const to = static_cast<int8_t*>(stored);
  for (size_t i = 0; i < count; ++i) {
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves that integer in the low bits.
    const float shifted = values[i] * inverse + 12582912.0f;
    int32_t bits;
    __builtin_memcpy(&bits, &shifted, sizeof(bits));
    to[i * kStep] = static_cast<int8_t>(bits - 0x4B400000);
  }
}

template <size_t kStep>
inline void store_vector(KeyValueFormat format, const float* values, size_t count, void* stored,
                         float* scale) {
  switch (format) {
    case KeyValueFormat::kFloat32:
      for (size_t i = 0; i < count; ++i) static_cast<float*>(stored)[i * kStep] = values[i];
      return;
    case KeyValueFormat::kFloat16: return store_float16<kStep>(values, count, stored);
    case KeyValueFormat::kInt8: return store_int8<kStep>(values, count, stored, scale);
  }
}

static void store_key_value(const KeyValueSlot& slot, const float* key, const float* value) {
  store_vector<kKeyBlock>(slot.format, key, slot.head_size, slot.key, slot.key_scale);
  store_vector<1>(slot.format, value, slot.head_size, slot.value, slot.value_scale);
}
