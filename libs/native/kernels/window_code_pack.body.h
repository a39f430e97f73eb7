// Symbols to groups of indices into a codebook.

static size_t pack_coded_group(const SymbolBlock& block, const CodebookCodes& codes,
                               unsigned symbol_bits, uint8_t* tiles, uint16_t* exceptions,
                               size_t room) {
  const Codebook& codebook = *codes.codebook;
  ExceptionWriter writer = {exceptions, exceptions + room, symbol_bits, codebook.filler};
  const size_t bytes = coded_tile_bytes(codebook.tuple, codebook.index_bits);
  const size_t count = tiles_across(block.columns);
  alignas(64) uint8_t staged[kWindowRows * kStagedColumns];
  for (size_t tile = 0; tile < count; ++tile) {
    alignas(64) uint8_t symbols[kTileSymbols];
    const size_t column = tile * kTileColumns;
    const size_t within = column % kStagedColumns;
    if (within == 0) stage_columns(block, column, codebook.filler, staged);
    load_tile(staged + within, kStagedColumns, 0, symbols);
    alignas(64) uint8_t indices[kTileSymbols / 2];
    code_tile(symbols, codes, indices);
    uint8_t* const to = tiles + tile * bytes;
    pack_indices(indices, codebook.tuple, codebook.index_bits, to);
    alignas(64) uint8_t decoded[kTileSymbols];
    unpack_codes(to, codebook, decoded);
    for (size_t step = 0; step < kTileSteps; ++step) {
      const uint8_t* const at = symbols + step * kStepBytes;
      const uint64_t found = differing(at, decoded + step * kStepBytes);
      if (found == 0) continue;
      const size_t first = column + step * kStepColumns;
      if (!add_step_exceptions(writer, found, at, codebook.filler, first)) {
        return kTooManyExceptions;
      }
    }
  }
  return static_cast<size_t>(writer.next - exceptions);
}
