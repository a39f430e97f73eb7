// Softmax attention of one query group over the visible positions.

static float largest(const float* values, size_t count) {
  // Sixteen independent maxima, so that the loop becomes vector code.
  float lanes[16];
  for (size_t i = 0; i < 16; ++i) lanes[i] = values[0];
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (size_t k = 0; k < 16; ++k) {
      lanes[k] = values[i + k] > lanes[k] ? values[i + k] : lanes[k];
    }
  }
  for (; i < count; ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  float result = lanes[0];
  for (size_t k = 1; k < 16; ++k) result = lanes[k] > result ? lanes[k] : result;
  return result;
}

// output[d] = sum over j of weights[j] * values[j][d].
static void weighted_sum(const float* values, const float* weights, size_t count, size_t head_size,
                         float* output) {
  constexpr size_t kVectors = 4;
  size_t d = 0;
  for (; d + kVectors * Lanes::kWidth <= head_size; d += kVectors * Lanes::kWidth) {
    typename Lanes::Float sums[kVectors];
    for (size_t v = 0; v < kVectors; ++v) sums[v] = Lanes::zero();
    for (size_t j = 0; j < count; ++j) {
      const typename Lanes::Float weight = Lanes::broadcast(weights[j]);
      const float* row = values + j * head_size + d;
      for (size_t v = 0; v < kVectors; ++v) {
        sums[v] = Lanes::multiply_add(weight, Lanes::load(row + v * Lanes::kWidth), sums[v]);
      }
    }
    for (size_t v = 0; v < kVectors; ++v) Lanes::store(output + d + v * Lanes::kWidth, sums[v]);
  }
  for (; d + Lanes::kWidth <= head_size; d += Lanes::kWidth) {
    typename Lanes::Float total = Lanes::zero();
    for (size_t j = 0; j < count; ++j) {
      total = Lanes::multiply_add(Lanes::broadcast(weights[j]),
                                  Lanes::load(values + j * head_size + d), total);
    }
    Lanes::store(output + d, total);
  }
  for (; d < head_size; ++d) {
    float total = 0;
    for (size_t j = 0; j < count; ++j) total += weights[j] * values[j * head_size + d];
    output[d] = total;
  }
}

static void attend(const AttentionStep& step) {
  const WeightMatrix keys{WeightFormat::kFloat32, step.positions, step.head_size, step.keys, 0,
                          nullptr, false};
  multiply({&keys, nullptr, step.queries, step.head_size, nullptr, step.heads, step.scores,
            step.positions},
           0, step.positions, nullptr);
  for (size_t head = 0; head < step.heads; ++head) {
    float* scores = step.scores + head * step.positions;
    const float peak = largest(scores, step.positions) * step.scale;
    for (size_t j = 0; j < step.positions; ++j) {
      scores[j] = exponential(scores[j] * step.scale - peak);
    }
    double total = 0;
    for (size_t j = 0; j < step.positions; ++j) total += scores[j];
    float* output = step.outputs + head * step.head_size;
    weighted_sum(step.values, scores, step.positions, step.head_size, output);
    const float inverse = static_cast<float>(1.0 / total);
    for (size_t d = 0; d < step.head_size; ++d) output[d] *= inverse;
  }
}
