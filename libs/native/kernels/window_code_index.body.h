// Tuples as keys, and how the indices of a tile are split into planes (RESIDENT.md).

struct TupleKey {
  unsigned key;
  bool inside;  // whether all symbols are near enough to range_low to have a key
};

// Of a tuple whose first symbol is *symbols, and the others a step from each other.
inline TupleKey key_at(const uint8_t* symbols, const CodebookCodes& codes) {
  const size_t tuple = codes.codebook->tuple;
  const unsigned key_bits = tuple == 2 ? 5 : 4;
  TupleKey found = {0, true};
  for (size_t k = 0; k < tuple; ++k) {
    const unsigned offset = static_cast<uint8_t>(symbols[k * kStepBytes] - codes.range_low);
    found.inside = found.inside && offset >> key_bits == 0;
    found.key |= offset << (key_bits * k);
  }
  return found;
}

inline TupleBytes tuple_at(const uint8_t* symbols, size_t tuple) {
  if (tuple == 2) return {symbols[0], symbols[kStepBytes]};
  return {static_cast<uint8_t>(symbols[0] | symbols[kStepBytes] << 4),
          static_cast<uint8_t>(symbols[2 * kStepBytes] | symbols[3 * kStepBytes] << 4)};
}

// Index i of vector v. With 8 bits an index is a byte; with fewer, its lowest four bits lie in the
// nibbles of one vector for two, the next two (of 6 and 7 bits) in one vector for all four, and the
// highest (of 5 and 7 bits) in half a vector, bit i of 64 for each.
inline unsigned index_at(const uint8_t* tile, unsigned bits, size_t v, size_t i) {
  if (bits == 8) return tile[v * kStepBytes + i];
  unsigned index = tile[v / 2 * kStepBytes + i] >> (4 * (v % 2)) & 15;
  if ((bits & 2) != 0) index |= (tile[2 * kStepBytes + i] >> (2 * v) & 3) << 4;
  if ((bits & 1) != 0) {
    const uint8_t* const highest = tile + ((bits & 2) != 0 ? 3 : 2) * kStepBytes;
    index |= (highest[(v * kStepBytes + i) / 8] >> (i % 8) & 1u) << (bits - 1);
  }
  return index;
}
