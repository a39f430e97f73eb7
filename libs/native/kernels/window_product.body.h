// Products of windows and activations (window_format.h, activations.h), from the functions of the
// instruction set's window_tiles body. One to four positions take the windows apart in registers;
// more share panels of symbols that are unpacked once.

// Undoes the quantization of the sums of up to kWindowRows rows at one position. Loops of a fixed
// length over local arrays, so that they become vector code.
inline void finish_sums(const WindowProduct& product, size_t row, size_t position, int64_t base,
                        const int64_t* sums) {
  const size_t left = product.weights->rows - row;
  const size_t rows = left < kWindowRows ? left : kWindowRows;
  float steps[kWindowRows] = {};
  float bias[kWindowRows] = {};
  float before[kWindowRows] = {};
  float* const outputs = product.outputs + position * product.output_stride + row;
  if (product.step_per_row) {
    __builtin_memcpy(steps, product.steps + row, rows * sizeof(float));
  } else {
    for (float& step : steps) step = product.steps[0];
  }
  if (product.bias != nullptr) __builtin_memcpy(bias, product.bias + row, rows * sizeof(float));
  if (product.accumulate) __builtin_memcpy(before, outputs, rows * sizeof(float));
  const double scale = product.inputs->scales[position];
  const double zero = static_cast<double>(product.zero_point) *
                      static_cast<double>(product.inputs->sums[position]);
  float values[kWindowRows];
  for (size_t r = 0; r < kWindowRows; ++r) {
    const double dot = static_cast<double>(base + sums[r]) - zero;
    const double value = static_cast<double>(steps[r]) * scale * dot + static_cast<double>(bias[r]);
    values[r] = static_cast<float>(static_cast<double>(before[r]) + value);
  }
  __builtin_memcpy(outputs, values, rows * sizeof(float));
}

template <size_t kPositions>
inline void multiply_group(const WindowProduct& product, size_t index, ReadAhead& ahead,
                           uint8_t* scratch) {
  const WindowView& weights = *product.weights;
  const Activations& inputs = *product.inputs;
  const WindowGroup& group = weights.groups[index];
  int64_t sums[kPositions][kWindowRows];
  const size_t tiles = tiles_across(weights.columns);
  if (!group.is_listed()) {
    dot_escaped(group, weights.columns, inputs, ahead, scratch, sums);
  } else if (weights.symbol_bits == 4) {
    dot_group<4>(group, tiles, inputs, ahead, sums);
  } else {
    dot_group<8>(group, tiles, inputs, ahead, sums);
  }
  for (size_t p = 0; p < kPositions; ++p) {
    // Listed windows were multiplied as what they are above `low`.
    const int64_t base = group.is_listed() ? group.window.low * inputs.sums[p] : 0;
    finish_sums(product, index * kWindowRows, p, base, sums[p]);
  }
}

template <size_t kPositions>
inline void multiply_groups(const WindowProduct& product, size_t begin, size_t end,
                            uint8_t* scratch) {
  if (begin == end) return;
  ReadAhead ahead(*product.weights, begin, kPrefetchBytes);
  for (size_t index = begin; index < end; ++index) {
    multiply_group<kPositions>(product, index, ahead, scratch);
  }
}

// Groups begin..begin+groups-1, at most kPanelGroups, times at most kPanelPositions positions.
inline void multiply_block(const WindowProduct& product, size_t begin, size_t groups, size_t first,
                           size_t positions, uint8_t* scratch) {
  const WindowView& weights = *product.weights;
  uint8_t* const panels = scratch;
  int64_t* const sums = reinterpret_cast<int64_t*>(scratch + kPanelGroups * kPanelBytes);
  for (size_t i = 0; i < groups * positions * kWindowRows; ++i) sums[i] = 0;
  GroupUnpacker unpackers[kPanelGroups];
  for (size_t group = 0; group < groups; ++group) {
    unpackers[group] = GroupUnpacker(weights.groups[begin + group], weights.symbol_bits);
  }
  const size_t tiles = tiles_across(weights.columns);
  constexpr size_t kPanelTiles = kPanelColumns / kTileColumns;
  for (size_t tile = 0; tile < tiles; tile += kPanelTiles) {
    const size_t end = tiles - tile < kPanelTiles ? tiles : tile + kPanelTiles;
    for (size_t group = 0; group < groups; ++group) {
      unpackers[group].unpack((end - tile) * kTileColumns, panels + group * kPanelBytes);
    }
    multiply_panels(panels, groups, (end - tile) * kTileSteps, *product.inputs,
                    tile * kTileColumns, first, positions, sums);
  }
  for (size_t group = 0; group < groups; ++group) {
    for (size_t p = 0; p < positions; ++p) {
      finish_sums(product, (begin + group) * kWindowRows, first + p, 0,
                  sums + (group * positions + p) * kWindowRows);
    }
  }
}

static void multiply_windows(const WindowProduct& product, size_t group_begin, size_t group_end,
                             uint8_t* scratch) {
  const size_t positions = product.inputs->positions;
  if (positions == 0) return;
  if (positions == 1) return multiply_groups<1>(product, group_begin, group_end, scratch);
  if (positions == 2) return multiply_groups<2>(product, group_begin, group_end, scratch);
  if (positions == 3) return multiply_groups<3>(product, group_begin, group_end, scratch);
  if (positions == 4) return multiply_groups<4>(product, group_begin, group_end, scratch);
  for (size_t group = group_begin; group < group_end; group += kPanelGroups) {
    const size_t groups = group_end - group < kPanelGroups ? group_end - group : kPanelGroups;
    for (size_t first = 0; first < positions; first += kPanelPositions) {
      const size_t left = positions - first;
      multiply_block(product, group, groups, first, left < kPanelPositions ? left : kPanelPositions,
                     scratch);
    }
  }
}
