// The rounds of SHA-256 over a type that wraps the machine's instructions for it, for kMessages
// messages at a time whose instructions the compiler interleaves. `Isa` has Vector (4 words), State
// and the operations used below.

// Four words of the message schedule replace the four that they follow from, 16 words earlier.
template <typename Isa, size_t kMessages>
SHA256_TARGET void sha256_advance(uint32_t (*states)[8], const uint8_t* const* messages,
                                  size_t blocks) {
  using Vector = typename Isa::Vector;
  constexpr size_t kQuads = 16;
  typename Isa::State state[kMessages];
  for (size_t m = 0; m < kMessages; ++m) state[m] = Isa::load_state(states[m]);
  for (size_t block = 0; block < blocks; ++block) {
    Vector words[kMessages][4];
    typename Isa::State before[kMessages];
    for (size_t m = 0; m < kMessages; ++m) {
      before[m] = state[m];
      // Four times 16 bytes: a block has 64.
      for (size_t quad = 0; quad < 4; ++quad) {
        words[m][quad] = Isa::load_words(messages[m] + 64 * block + 16 * quad);
      }
    }
#pragma GCC unroll 16
    for (size_t quad = 0; quad < kQuads; ++quad) {
      for (size_t m = 0; m < kMessages; ++m) {
        Vector& now = words[m][quad % 4];
        Isa::rounds(state[m], Isa::add(now, Isa::load_constants(kSha256Constants + 4 * quad)));
        if (quad >= kQuads - 4) continue;
        now = Isa::schedule(now, words[m][(quad + 1) % 4], words[m][(quad + 2) % 4],
                            words[m][(quad + 3) % 4]);
      }
    }
    for (size_t m = 0; m < kMessages; ++m) Isa::add_state(state[m], before[m]);
  }
  for (size_t m = 0; m < kMessages; ++m) Isa::store_state(state[m], states[m]);
}
