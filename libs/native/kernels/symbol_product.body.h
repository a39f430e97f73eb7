// Products of row-major symbols and activations, for matrices that are decoded for each pass.

// Symbols first..first+count-1 of row r, a byte each: where they lie, or unpacked to `buffer`.
inline const uint8_t* row_symbols(const SymbolRows& rows, size_t row, size_t first, size_t count,
                                  uint8_t* buffer) {
  const size_t at = row * rows.row_stride + first + (rows.nibble_pairs && rows.odd ? 1 : 0);
  if (!rows.nibble_pairs) return rows.symbols + at;
  unpack_nibbles(rows.symbols, at, count, buffer);
  return buffer;
}

static void multiply_symbol_rows(const SymbolRows& rows, const Activations& inputs,
                                 uint8_t* scratch, int64_t* sums) {
  for (size_t row = 0; row < rows.rows; ++row) {
    int64_t* const to = sums + row * inputs.positions;
    for (size_t p = 0; p < inputs.positions; ++p) to[p] = 0;
    for (size_t begin = 0; begin < rows.columns; begin += kPanelColumns) {
      const size_t left = rows.columns - begin;
      const size_t count = left < kPanelColumns ? left : kPanelColumns;
      const uint8_t* symbols = row_symbols(rows, row, begin, count, scratch);
      const int16_t* whole = inputs.whole + rows.column_begin + begin;
      for (size_t p = 0; p < inputs.positions; ++p) {
        to[p] += dot_row(symbols, whole + p * inputs.stride, count);
      }
    }
  }
}
