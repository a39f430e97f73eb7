// Planes of bits to windows and back (window_format.h), over the type Bytes of the instruction
// set's window_tiles body: Bytes::kWidth of a step's 64 bytes at a time.

using Steps = typename Bytes::Vector[kTileSteps];

// A plane's vector, read once: GCC would read it again for every use.
inline typename Bytes::Vector load_plane(const uint8_t* from) {
  typename Bytes::Vector plane = Bytes::load(from);
#if defined(__x86_64__)
  asm("" : "+v"(plane));
#endif
  return plane;
}

// Puts, at bit kTo of the windows of a step, the bits that lie at kFrom in a plane.
template <int kFrom, int kTo>
[[gnu::always_inline]] inline void join_plane(typename Bytes::Vector& windows,
                                              typename Bytes::Vector plane,
                                              typename Bytes::Vector mask_at_to) {
  windows = Bytes::insert(windows, Bytes::template shifted<kFrom - kTo>(plane), mask_at_to);
}

template <int kTo>
[[gnu::always_inline]] inline void join_bits(typename Bytes::Vector plane, Steps& step) {
  const typename Bytes::Vector bit = Bytes::broadcast(1 << kTo);
  join_plane<0, kTo>(step[0], plane, bit);
  join_plane<1, kTo>(step[1], plane, bit);
  join_plane<2, kTo>(step[2], plane, bit);
  join_plane<3, kTo>(step[3], plane, bit);
  join_plane<4, kTo>(step[4], plane, bit);
  join_plane<5, kTo>(step[5], plane, bit);
  join_plane<6, kTo>(step[6], plane, bit);
  join_plane<7, kTo>(step[7], plane, bit);
}

template <int kTo>
[[gnu::always_inline]] inline void join_pairs(typename Bytes::Vector plane,
                                              typename Bytes::Vector* step) {
  const typename Bytes::Vector pair = Bytes::broadcast(3 << kTo);
  join_plane<0, kTo>(step[0], plane, pair);
  join_plane<2, kTo>(step[1], plane, pair);
  join_plane<4, kTo>(step[2], plane, pair);
  join_plane<6, kTo>(step[3], plane, pair);
}

// The windows of a tile, Bytes::kWidth bytes of each step from those at `tile` on.
template <unsigned kBits>
[[gnu::always_inline]] inline void load_windows(const uint8_t* tile, Steps& step) {
  if constexpr (kBits == 8) {
    for (size_t i = 0; i < kTileSteps; ++i) step[i] = Bytes::load(tile + i * kStepBytes);
    return;
  }
  constexpr int kPairs = kBits & 4;
  constexpr int kSingles = kBits & 6;
  if constexpr ((kBits & 4) != 0) {
    const typename Bytes::Vector nibble = Bytes::broadcast(0x0F);
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; ++v) {
      const typename Bytes::Vector pair = load_plane(tile + v * kStepBytes);
      step[2 * v] = Bytes::both(pair, nibble);
      step[2 * v + 1] = Bytes::both(Bytes::template shifted<4>(pair), nibble);
    }
  } else {
    for (typename Bytes::Vector& each : step) each = Bytes::broadcast(0);
  }
  if constexpr ((kBits & 2) != 0) {
    join_pairs<kPairs>(load_plane(tile + kPairs * kStepBytes), step);
    join_pairs<kPairs>(load_plane(tile + (kPairs + 1) * kStepBytes), step + 4);
  }
  if constexpr ((kBits & 1) != 0) {
    join_bits<kSingles>(load_plane(tile + kSingles * kStepBytes), step);
  }
}

template <unsigned kBits>
inline void unpack_bits(const uint8_t* tile, uint8_t low, uint8_t* symbols) {
  const typename Bytes::Vector lows = Bytes::broadcast(low);
  for (size_t part = 0; part < kStepBytes; part += Bytes::kWidth) {
    Steps step;
    load_windows<kBits>(tile + part, step);
    for (size_t i = 0; i < kTileSteps; ++i) {
      Bytes::store(symbols + i * kStepBytes + part, Bytes::add(step[i], lows));
    }
  }
}

// symbols[i] = low + the window of place i of a tile; exceptions become low.
inline void unpack_tile(const uint8_t* tile, Window window, uint8_t* symbols) {
  switch (window.bits) {
    case 1: return unpack_bits<1>(tile, window.low, symbols);
    case 2: return unpack_bits<2>(tile, window.low, symbols);
    case 3: return unpack_bits<3>(tile, window.low, symbols);
    case 4: return unpack_bits<4>(tile, window.low, symbols);
    case 5: return unpack_bits<5>(tile, window.low, symbols);
    case 6: return unpack_bits<6>(tile, window.low, symbols);
    case 7: return unpack_bits<7>(tile, window.low, symbols);
    default: return unpack_bits<8>(tile, window.low, symbols);
  }
}

// The lowest four bits of each window; leaves what is above them.
inline uint8_t* pack_nibbles_of(Steps& step, uint8_t* tile) {
  const typename Bytes::Vector low = Bytes::broadcast(0x0F);
  const typename Bytes::Vector high = Bytes::broadcast(0xF0);
  for (size_t v = 0; v < 4; ++v) {
    const auto second = Bytes::both(Bytes::template shifted<-4>(step[2 * v + 1]), high);
    Bytes::store(tile, Bytes::insert(second, step[2 * v], low));
    tile += kStepBytes;
  }
  for (typename Bytes::Vector& each : step) each = Bytes::template shifted<4>(each);
  return tile;
}

inline uint8_t* pack_pairs_of(Steps& step, uint8_t* tile) {
  const typename Bytes::Vector pair = Bytes::broadcast(0x03);
  for (size_t v = 0; v < 2; ++v) {
    const typename Bytes::Vector* const of = step + 4 * v;
    typename Bytes::Vector packed = Bytes::both(of[0], pair);
    packed = Bytes::insert(packed, Bytes::template shifted<-2>(of[1]), Bytes::broadcast(0x0C));
    packed = Bytes::insert(packed, Bytes::template shifted<-4>(of[2]), Bytes::broadcast(0x30));
    packed = Bytes::insert(packed, Bytes::template shifted<-6>(of[3]), Bytes::broadcast(0xC0));
    Bytes::store(tile, packed);
    tile += kStepBytes;
  }
  for (typename Bytes::Vector& each : step) each = Bytes::template shifted<2>(each);
  return tile;
}

inline void pack_bits_of(const Steps& step, uint8_t* tile) {
  const typename Bytes::Vector one = Bytes::broadcast(1);
  typename Bytes::Vector packed = Bytes::broadcast(0);
  for (size_t i = kTileSteps; i-- > 0;) {
    packed = Bytes::insert(Bytes::add(packed, packed), step[i], one);
  }
  Bytes::store(tile, packed);
}

inline void pack_tile(const uint8_t* windows, unsigned bits, uint8_t* tile) {
  for (size_t part = 0; part < kStepBytes; part += Bytes::kWidth) {
    Steps step;
    for (size_t i = 0; i < kTileSteps; ++i) {
      step[i] = Bytes::load(windows + i * kStepBytes + part);
      if (bits == 8) Bytes::store(tile + i * kStepBytes + part, step[i]);
    }
    if (bits == 8) continue;
    uint8_t* to = tile + part;
    if ((bits & 4) != 0) to = pack_nibbles_of(step, to);
    if ((bits & 2) != 0) to = pack_pairs_of(step, to);
    if ((bits & 1) != 0) pack_bits_of(step, to);
  }
}
