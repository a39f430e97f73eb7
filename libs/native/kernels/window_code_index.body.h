// How the indices of a tile are split into planes (RESIDENT.md).

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

// The indices of all vectors of a tile to its planes.
inline void pack_indices(const uint8_t* indices, unsigned tuple, unsigned bits, uint8_t* tile) {
  const size_t count = kTileSymbols / tuple;
  if (bits == 8) {
    __builtin_memcpy(tile, indices, count);
    return;
  }
  const uint8_t* const v0 = indices;
  const uint8_t* const v1 = indices + kStepBytes;
  const uint8_t* const v2 = indices + 2 * kStepBytes;
  const uint8_t* const v3 = indices + 3 * kStepBytes;
  for (size_t i = 0; i < kStepBytes; ++i) {
    tile[i] = static_cast<uint8_t>((v0[i] & 15) | v1[i] << 4);
    tile[kStepBytes + i] = static_cast<uint8_t>((v2[i] & 15) | v3[i] << 4);
  }
  uint8_t* next = tile + 2 * kStepBytes;
  if ((bits & 2) != 0) {
    for (size_t i = 0; i < kStepBytes; ++i) {
      next[i] = static_cast<uint8_t>((v0[i] >> 4 & 3) | (v1[i] >> 4 & 3) << 2 |
                                     (v2[i] >> 4 & 3) << 4 | (v3[i] >> 4 & 3) << 6);
    }
    next += kStepBytes;
  }
  if ((bits & 1) == 0) return;
  for (size_t byte = 0; byte < count / 8; ++byte) {
    unsigned packed = 0;
    for (size_t k = 0; k < 8; ++k) {
      packed |= (indices[8 * byte + k] >> (bits - 1) & 1u) << k;
    }
    next[byte] = static_cast<uint8_t>(packed);
  }
}
