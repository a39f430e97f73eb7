// Row-wise functions: maxima, sums, RMS normalisation, the SwiGLU gate, log-sum-exp.

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

static float sum(const float* values, size_t count) {
  double lanes[8] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t k = 0; k < 8; ++k) lanes[k] += values[i + k];
  }
  for (; i < count; ++i) lanes[0] += values[i];
  double total = 0;
  for (size_t k = 0; k < 8; ++k) total += lanes[k];
  return static_cast<float>(total);
}

static void normalize(const float* input, const float* weight, size_t count, double epsilon,
                      float* output) {
  double lanes[8] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t k = 0; k < 8; ++k) {
      const double value = input[i + k];
      lanes[k] += value * value;
    }
  }
  for (; i < count; ++i) lanes[0] += static_cast<double>(input[i]) * input[i];
  double squares = 0;
  for (size_t k = 0; k < 8; ++k) squares += lanes[k];
  const double mean = squares / static_cast<double>(count);
  const float scale = static_cast<float>(1.0 / __builtin_sqrt(mean + epsilon));
  for (size_t k = 0; k < count; ++k) output[k] = weight[k] * (input[k] * scale);
}

static void gate_by(float* gate, const float* up, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    gate[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
  }
}

static double log_sum_exp(const float* values, size_t count) {
  constexpr size_t kBlock = 256;
  const float peak = largest(values, count);
  double total = 0;
  float powers[kBlock];
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t size = count - begin < kBlock ? count - begin : kBlock;
    for (size_t i = 0; i < size; ++i) powers[i] = exponential(values[begin + i] - peak);
    total += sum(powers, size);
  }
  return peak + __builtin_log(total);
}
