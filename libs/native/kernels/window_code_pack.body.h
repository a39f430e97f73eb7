// Symbols to groups of indices into a codebook.

// Columns [column, column + tile columns) of a block in steps; stages them as they are needed.
inline void load_code_tile(const SymbolBlock& block, size_t column, const Codebook& codebook,
                           uint8_t* staged, uint8_t* symbols) {
  // Whatever stands beyond the block's edges; this one is cheap.
  const uint8_t first = codebook.near.first[0];
  const uint8_t padding = codebook.tuple == 2 ? first : first & 15;
  const size_t end = column + kIndexVectors * codebook.tuple * kStepColumns;
  for (size_t at = column; at < end; at += kTileColumns) {
    const size_t within = at % kStagedColumns;
    if (within == 0) stage_columns(block, at, padding, staged);
    load_tile(staged + within, kStagedColumns, 0, symbols + (at - column) * kWindowRows);
  }
}

static PackedOutside pack_coded_group(const SymbolBlock& block, const CodebookCodes& codes,
                                      uint8_t* tiles, uint8_t* outside, size_t room) {
  const Codebook& codebook = *codes.codebook;
  LiteralWriter writer(outside, room);
  const size_t tile_columns = kIndexVectors * codebook.tuple * kStepColumns;
  alignas(64) uint8_t staged[kWindowRows * kStagedColumns];
  for (size_t column = 0; column < block.columns; column += tile_columns) {
    alignas(64) uint8_t symbols[kMostTileSymbols];
    load_code_tile(block, column, codebook, staged, symbols);
    alignas(64) uint8_t indices[kIndexVectors * kStepBytes];
    code_tile(symbols, codes, indices);
    pack_indices(indices, codebook.index_bits, tiles);
    tiles += coded_tile_bytes(codebook.index_bits);
    for (size_t v = 0; v < kIndexVectors; ++v) {
      const uint8_t* const from = symbols + v * codebook.tuple * kStepBytes;
      uint64_t escapes = places_of(indices + v * kStepBytes, codebook.escape());
      for (; escapes != 0; escapes &= escapes - 1) {
        const uint8_t* const at = from + __builtin_ctzll(escapes);
        const TupleKey key = key_at(at, codes);
        const uint8_t literal = key.inside ? codes.far[key.key] : Codebook::kFarEscape;
        if (!writer.add(literal, tuple_at(at, codebook.tuple))) return {};
      }
    }
  }
  if (!writer.finish()) return {};
  return {true, static_cast<uint32_t>(writer.count()), writer.bytes()};
}
