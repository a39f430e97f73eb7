// Products of windows and activations (window_format.h, activations.h), from the functions of the
// instruction set's window_tiles body. One to four positions take the windows apart in registers;
// more share panels of symbols that are unpacked once.

// Undoes the quantization of the sums of one row and position.
inline void finish_sum(const WindowProduct& product, size_t row, size_t position, int64_t sum) {
  const Activations& inputs = *product.inputs;
  const double step = product.steps[product.step_per_row ? row : 0];
  const double zero = static_cast<double>(product.zero_point) *
                      static_cast<double>(inputs.sums[position]);
  double value = step * static_cast<double>(inputs.scales[position]) *
                 (static_cast<double>(sum) - zero);
  if (product.bias != nullptr) value += static_cast<double>(product.bias[row]);
  float* output = product.outputs + position * product.output_stride + row;
  *output = static_cast<float>(product.accumulate ? static_cast<double>(*output) + value : value);
}

// Adds (q - low) * whole for the exceptions of a group.
template <size_t kPositions>
inline void add_exceptions(const WindowGroup& group, unsigned symbol_bits,
                           const Activations& inputs, int64_t (&sums)[kPositions][kWindowRows]) {
  const unsigned symbol_mask = (1u << symbol_bits) - 1;
  const int32_t low = group.window.low;
  uint32_t place = 0;
  // Places are below 16 x the padded columns, so that rows stay below kWindowRows and columns
  // below the activations' stride.
  for (size_t i = 0; i < group.exception_count; ++i) {
    const uint32_t entry = group.exceptions[i];
    place += entry >> symbol_bits;
    const int32_t delta = static_cast<int32_t>(entry & symbol_mask) - low;
    const size_t row = place / kStepColumns % kWindowRows;
    const size_t column = place / kStepBytes * kStepColumns + place % kStepColumns;
    for (size_t p = 0; p < kPositions; ++p) {
      sums[p][row] += delta * inputs.whole[p * inputs.stride + column];
    }
  }
}

template <size_t kPositions>
inline void multiply_group(const WindowProduct& product, size_t index) {
  const WindowView& weights = *product.weights;
  const Activations& inputs = *product.inputs;
  const WindowGroup& group = weights.groups[index];
  int64_t sums[kPositions][kWindowRows];
  dot_windows<kPositions>(group, tiles_across(weights.columns), inputs, sums);
  add_exceptions<kPositions>(group, weights.symbol_bits, inputs, sums);
  const size_t row = index * kWindowRows;
  const size_t rows = weights.rows - row < kWindowRows ? weights.rows - row : kWindowRows;
  for (size_t p = 0; p < kPositions; ++p) {
    const int64_t base = group.window.low * inputs.sums[p];
    for (size_t r = 0; r < rows; ++r) finish_sum(product, row + r, p, base + sums[p][r]);
  }
}

template <size_t kPositions>
inline void multiply_groups(const WindowProduct& product, size_t begin, size_t end) {
  for (size_t index = begin; index < end; ++index) multiply_group<kPositions>(product, index);
}

// Where the exceptions of a group continue when its next panel is unpacked.
struct PanelCursor {
  size_t exception = 0;
  size_t place = 0;
};

// Writes the symbols of tiles tile_begin..tile_end-1 of a group.
inline void unpack_panel(const WindowGroup& group, unsigned symbol_bits, size_t tile_begin,
                         size_t tile_end, PanelCursor& cursor, uint8_t* panel) {
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    unpack_tile(group.tiles + tile * tile_bytes(group.window.bits), group.window,
                panel + (tile - tile_begin) * kTileSymbols);
  }
  const unsigned symbol_mask = (1u << symbol_bits) - 1;
  const size_t begin = tile_begin * kTileSymbols;
  const size_t end = tile_end * kTileSymbols;
  for (; cursor.exception < group.exception_count; ++cursor.exception) {
    const unsigned entry = group.exceptions[cursor.exception];
    const size_t place = cursor.place + (entry >> symbol_bits);
    if (place >= end) return;
    cursor.place = place;
    // Added, for an entry that only bridges a distance must leave its place as it is.
    panel[place - begin] =
        static_cast<uint8_t>(panel[place - begin] + (entry & symbol_mask) - group.window.low);
  }
}

// Groups begin..begin+groups-1, at most kPanelGroups, times at most kPanelPositions positions.
inline void multiply_block(const WindowProduct& product, size_t begin, size_t groups, size_t first,
                           size_t positions, uint8_t* scratch) {
  const WindowView& weights = *product.weights;
  uint8_t* const panels = scratch;
  int64_t* const sums = reinterpret_cast<int64_t*>(scratch + kPanelGroups * kPanelBytes);
  for (size_t i = 0; i < groups * positions * kWindowRows; ++i) sums[i] = 0;
  PanelCursor cursors[kPanelGroups];
  const size_t tiles = tiles_across(weights.columns);
  constexpr size_t kPanelTiles = kPanelColumns / kTileColumns;
  for (size_t tile = 0; tile < tiles; tile += kPanelTiles) {
    const size_t end = tiles - tile < kPanelTiles ? tiles : tile + kPanelTiles;
    for (size_t group = 0; group < groups; ++group) {
      unpack_panel(weights.groups[begin + group], weights.symbol_bits, tile, end, cursors[group],
                   panels + group * kPanelBytes);
    }
    multiply_panels(panels, groups, (end - tile) * kTileSteps, *product.inputs,
                    tile * kTileColumns, first, positions, sums);
  }
  for (size_t group = 0; group < groups; ++group) {
    const size_t row = (begin + group) * kWindowRows;
    const size_t rows = weights.rows - row < kWindowRows ? weights.rows - row : kWindowRows;
    for (size_t p = 0; p < positions; ++p) {
      const int64_t* from = sums + (group * positions + p) * kWindowRows;
      for (size_t r = 0; r < rows; ++r) finish_sum(product, row + r, first + p, from[r]);
    }
  }
}

static void multiply_windows(const WindowProduct& product, size_t group_begin, size_t group_end,
                             uint8_t* scratch) {
  const size_t positions = product.inputs->positions;
  if (positions == 0) return;
  if (positions == 1) return multiply_groups<1>(product, group_begin, group_end);
  if (positions == 2) return multiply_groups<2>(product, group_begin, group_end);
  if (positions == 3) return multiply_groups<3>(product, group_begin, group_end);
  if (positions == 4) return multiply_groups<4>(product, group_begin, group_end);
  for (size_t group = group_begin; group < group_end; group += kPanelGroups) {
    const size_t groups = group_end - group < kPanelGroups ? group_end - group : kPanelGroups;
    for (size_t first = 0; first < positions; first += kPanelPositions) {
      const size_t count = positions - first < kPanelPositions ? positions - first : kPanelPositions;
      multiply_block(product, group, groups, first, count, scratch);
    }
  }
}
