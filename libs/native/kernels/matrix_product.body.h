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

// Undoes the quantization of a tile's dots, adds the bias, and stores.
template <size_t kRows, size_t kPositions>
inline void finish_tile(const MatrixProduct& product, size_t row, size_t position,
                        const float (&dots)[kRows][kPositions]) {
  const WeightMatrix& weights = *product.weights;
  for (size_t p = 0; p < kPositions; ++p) {
    float* output = product.outputs + (position + p) * product.output_stride + row;
    for (size_t r = 0; r < kRows; ++r) {
      float value = dots[r][p];
      if (!is_float(weights.format)) {
        const float step = weights.steps[weights.step_per_row ? row + r : 0];
        value = step * (value - weights.zero_point * product.input_sums[position + p]);
      }
      if (product.bias != nullptr) value += product.bias[row + r];
      output[r] = value;
    }
  }
}

template <typename Weight, size_t kRows>
inline void multiply_rows(const MatrixProduct& product, const Weight* weights, size_t row) {
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

// Unpacks `count` nibbles that start at nibble `start`, low nibble first.
inline void unpack_nibbles(const uint8_t* __restrict packed, size_t start, size_t count,
                           uint8_t* __restrict symbols) {
  size_t i = 0;
  if ((start & 1) != 0 && count > 0) symbols[i++] = packed[start >> 1] >> 4;
  const uint8_t* pairs = packed + ((start + i) >> 1);
  const size_t bytes = (count - i) / 2;
  uint8_t* output = symbols + i;
  for (size_t k = 0; k < bytes; ++k) {
    // Both nibbles of a byte at once, so that the loop becomes vector code (little-endian).
    const uint16_t byte = pairs[k];
    const uint16_t both = static_cast<uint16_t>((byte | (byte << 4)) & 0x0F0F);
    __builtin_memcpy(output + 2 * k, &both, sizeof(both));
  }
  if (i + 2 * bytes < count) output[2 * bytes] = pairs[bytes] & 15;
}

template <size_t kRows>
inline void multiply_tile(const MatrixProduct& product, size_t row, uint8_t* scratch) {
  const WeightMatrix& weights = *product.weights;
  const size_t first = row * weights.columns;
  switch (weights.format) {
    case WeightFormat::kFloat32:
      multiply_rows<float, kRows>(product, static_cast<const float*>(weights.data) + first, row);
      break;
    case WeightFormat::kFloat16:
      multiply_rows<Float16, kRows>(product, static_cast<const Float16*>(weights.data) + first,
                                    row);
      break;
    case WeightFormat::kBfloat16:
      multiply_rows<Bfloat16, kRows>(product, static_cast<const Bfloat16*>(weights.data) + first,
                                     row);
      break;
    case WeightFormat::kUint8:
      multiply_rows<uint8_t, kRows>(product, static_cast<const uint8_t*>(weights.data) + first,
                                    row);
      break;
    case WeightFormat::kUint4:
      unpack_nibbles(static_cast<const uint8_t*>(weights.data), first, kRows * weights.columns,
                     scratch);
      multiply_rows<uint8_t, kRows>(product, scratch, row);
      break;
  }
}

static void multiply(const MatrixProduct& product, size_t row_begin, size_t row_end,
                     uint8_t* scratch) {
  size_t row = row_begin;
  // One position has no reuse of weights to win; eight rows at once hide the latency of adding.
  if (product.positions < 4) {
    for (; row + 8 <= row_end; row += 8) multiply_tile<8>(product, row, scratch);
  }
  for (; row + 4 <= row_end; row += 4) multiply_tile<4>(product, row, scratch);
  for (; row < row_end; ++row) multiply_tile<1>(product, row, scratch);
}

template <typename Stored>
inline void convert_row(const Stored* stored, size_t count, float* values) {
  for (size_t c = 0; c < count; ++c) values[c] = to_float(stored[c]);
}

static void read_row(const WeightMatrix& weights, size_t row, float* values) {
  const size_t columns = weights.columns;
  const size_t first = row * columns;
  switch (weights.format) {
    case WeightFormat::kFloat32:
      return convert_row(static_cast<const float*>(weights.data) + first, columns, values);
    case WeightFormat::kFloat16:
      return convert_row(static_cast<const Float16*>(weights.data) + first, columns, values);
    case WeightFormat::kBfloat16:
      return convert_row(static_cast<const Bfloat16*>(weights.data) + first, columns, values);
    default:
      break;
  }
  const uint8_t* symbols = static_cast<const uint8_t*>(weights.data);
  const float step = weights.steps[weights.step_per_row ? row : 0];
  for (size_t c = 0; c < columns; ++c) {
    const size_t i = first + c;
    const int symbol = weights.format == WeightFormat::kUint8
                           ? symbols[i]
                           : (symbols[i >> 1] >> (4 * (i & 1))) & 15;
    values[c] = step * (static_cast<float>(symbol) - weights.zero_point);
  }
}
