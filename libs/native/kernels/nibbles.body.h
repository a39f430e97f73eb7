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
