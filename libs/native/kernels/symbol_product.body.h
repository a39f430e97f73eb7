// Products of row-major symbols and activations, for matrices that are decoded for each pass.

// Symbols first..first+count-1 of a row, a byte each: where they lie, or unpacked to `buffer`.
inline const uint8_t* row_symbols(const SymbolRows& rows, size_t row, size_t first, size_t count,
                                  uint8_t* buffer) {
  const size_t at = row * rows.row_stride + first;
  if (!rows.nibble_pairs) return rows.symbols + at;
  unpack_nibbles(rows.symbols, at + (rows.odd ? 1 : 0), count, buffer);
  return buffer;
}

// Row by row, along its columns.
inline void multiply_rows_alone(const SymbolRows& rows, const Activations& inputs,
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

// The symbols of rows first..first+count-1 at the matrix's columns begin..begin+columns-1 (a
// multiple of kTileColumns) as a panel; places without a symbol are 0.
inline void fill_panel(const SymbolRows& rows, size_t first, size_t count, size_t begin,
                       size_t columns, uint8_t* panel) {
  uint8_t staged[kWindowRows * kTileColumns];
  const size_t end = rows.column_begin + rows.columns;
  for (size_t column = begin; column < begin + columns; column += kTileColumns) {
    const size_t from = column > rows.column_begin ? column : rows.column_begin;
    const size_t to = column + kTileColumns < end ? column + kTileColumns : end;
    if (count < kWindowRows || to - from < kTileColumns) {
      __builtin_memset(staged, 0, sizeof(staged));
    }
    for (size_t r = 0; r < count; ++r) {
      uint8_t* const at = staged + r * kTileColumns + (from - column);
      const uint8_t* symbols =
          row_symbols(rows, first + r, from - rows.column_begin, to - from, at);
      if (symbols != at) __builtin_memcpy(at, symbols, to - from);
    }
    load_tile(staged, kTileColumns, 0, panel + (column - begin) * kWindowRows);
  }
}

// At most kPanelGroups groups of rows from `first` on, times positions p..p+count-1.
inline void multiply_row_panels(const SymbolRows& rows, size_t first, const Activations& inputs,
                                size_t position, size_t count, uint8_t* scratch, int64_t* sums) {
  uint8_t* const panels = scratch;
  int64_t* const part = reinterpret_cast<int64_t*>(scratch + kPanelGroups * kPanelBytes);
  const size_t left = rows.rows - first;
  const size_t taken = left < kPanelGroups * kWindowRows ? left : kPanelGroups * kWindowRows;
  const size_t groups = window_groups(taken);
  for (size_t i = 0; i < groups * count * kWindowRows; ++i) part[i] = 0;
  const size_t end = rows.column_begin + rows.columns;
  // Panels begin and end at whole tiles, so that they meet no activation beyond the padded ones.
  const size_t columns_end = tiles_across(end) * kTileColumns;
  size_t begin = rows.column_begin / kTileColumns * kTileColumns;
  for (; begin < end; begin += kPanelColumns) {
    const size_t rest = columns_end - begin;
    const size_t columns = rest < kPanelColumns ? rest : kPanelColumns;
    for (size_t group = 0; group < groups; ++group) {
      const size_t row = group * kWindowRows;
      fill_panel(rows, first + row, taken - row < kWindowRows ? taken - row : kWindowRows, begin,
                 columns, panels + group * kPanelBytes);
    }
    multiply_panels(panels, groups, columns / kStepColumns, inputs, begin, position, count, part);
  }
  for (size_t row = 0; row < taken; ++row) {
    for (size_t p = 0; p < count; ++p) {
      sums[(first + row) * inputs.positions + position + p] =
          part[(row / kWindowRows * count + p) * kWindowRows + row % kWindowRows];
    }
  }
}

// Rows and positions from which on panels are faster than rows alone.
constexpr size_t kFewRows = 4;
constexpr size_t kFewPositions = 4;

static void multiply_symbol_rows(const SymbolRows& rows, const Activations& inputs,
                                 uint8_t* scratch, int64_t* sums) {
  if (rows.rows <= kFewRows || inputs.positions <= kFewPositions) {
    multiply_rows_alone(rows, inputs, scratch, sums);
    return;
  }
  for (size_t first = 0; first < rows.rows; first += kPanelGroups * kWindowRows) {
    for (size_t p = 0; p < inputs.positions; p += kPanelPositions) {
      const size_t left = inputs.positions - p;
      multiply_row_panels(rows, first, inputs, p, left < kPanelPositions ? left : kPanelPositions,
                          scratch, sums);
    }
  }
}
