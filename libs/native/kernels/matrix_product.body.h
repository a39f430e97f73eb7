// Matrix product of a block of positions, in tiles of rows x positions that live in registers.

// dots[r][p] = dot(weights row r, inputs row p). One accumulator per pair, filled in column order,
// so that a pair's result is the same in every tile shape.
template <typename Weight, size_t kRows, size_t kPositions>
inline void dot_tile(const Weight* weights, const float* inputs, size_t input_stride,
                     size_t columns, float (&dots)[kRows][kPositions]) {
  typename Lanes::Float sums[kRows][kPositions];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t p = 0; p < kPositions; ++p) sums[r][p] = Lanes::zero();
  }
  size_t c = 0;
  for (; c + Lanes::kWidth <= columns; c += Lanes::kWidth) {
    typename Lanes::Float input[kPositions];
    for (size_t p = 0; p < kPositions; ++p) input[p] = Lanes::load(inputs + p * input_stride + c);
    for (size_t r = 0; r < kRows; ++r) {
      const typename Lanes::Float weight = Lanes::load(weights + r * columns + c);
      for (size_t p = 0; p < kPositions; ++p) {
        sums[r][p] = Lanes::multiply_add(weight, input[p], sums[r][p]);
      }
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t p = 0; p < kPositions; ++p) {
      float total = Lanes::sum(sums[r][p]);
      for (size_t tail = c; tail < columns; ++tail) {
        total += to_float(weights[r * columns + tail]) * inputs[p * input_stride + tail];
      }
      dots[r][p] = total;
    }
  }
}

template <size_t kRows, size_t kPositions>
inline void finish_tile(const FloatProduct& product, size_t row, size_t position,
                        const float (&dots)[kRows][kPositions]) {
  for (size_t p = 0; p < kPositions; ++p) {
    float* output = product.outputs + (position + p) * product.output_stride + row;
    for (size_t r = 0; r < kRows; ++r) {
      const float value = dots[r][p];
      output[r] = product.bias == nullptr ? value : value + product.bias[row + r];
    }
  }
}

template <typename Weight, size_t kRows>
inline void multiply_rows(const FloatProduct& product, const Weight* weights, size_t row) {
  constexpr size_t kPositions = 4;
  const size_t columns = product.weights->columns;
  size_t p = 0;
  if constexpr (kRows <= 4) {
    for (; p + kPositions <= product.positions; p += kPositions) {
      float dots[kRows][kPositions];
      dot_tile(weights, product.inputs + p * product.input_stride, product.input_stride, columns,
               dots);
      finish_tile(product, row, p, dots);
    }
  }
  for (; p < product.positions; ++p) {
    float dots[kRows][1];
    dot_tile(weights, product.inputs + p * product.input_stride, product.input_stride, columns,
             dots);
    finish_tile(product, row, p, dots);
  }
}

template <typename Weight>
inline void multiply_all(const FloatProduct& product, size_t row_begin, size_t row_end) {
  const Weight* const weights = static_cast<const Weight*>(product.weights->data);
  const size_t columns = product.weights->columns;
  size_t row = row_begin;
  // One position has no reuse of weights to win; eight rows at once hide the latency of adding.
  if (product.positions < 4) {
    for (; row + 8 <= row_end; row += 8) {
      multiply_rows<Weight, 8>(product, weights + row * columns, row);
    }
  }
  for (; row + 4 <= row_end; row += 4) {
    multiply_rows<Weight, 4>(product, weights + row * columns, row);
  }
  for (; row < row_end; ++row) multiply_rows<Weight, 1>(product, weights + row * columns, row);
}

static void multiply(const FloatProduct& product, size_t row_begin, size_t row_end) {
  switch (product.weights->format) {
    case FloatFormat::kFloat32: return multiply_all<float>(product, row_begin, row_end);
    case FloatFormat::kFloat16: return multiply_all<Float16>(product, row_begin, row_end);
    case FloatFormat::kBfloat16: return multiply_all<Bfloat16>(product, row_begin, row_end);
  }
}

template <typename Stored>
inline void convert_row(const FloatWeights& weights, size_t row, float* values) {
  const Stored* const stored = static_cast<const Stored*>(weights.data) + row * weights.columns;
  for (size_t c = 0; c < weights.columns; ++c) values[c] = to_float(stored[c]);
}

static void read_row(const FloatWeights& weights, size_t row, float* values) {
  switch (weights.format) {
    case FloatFormat::kFloat32: return convert_row<float>(weights, row, values);
    case FloatFormat::kFloat16: return convert_row<Float16>(weights, row, values);
    case FloatFormat::kBfloat16: return convert_row<Bfloat16>(weights, row, values);
  }
}
