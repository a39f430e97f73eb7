// Weights to symbols, and counting them. Included by codec_kernels.body.h.

// Up to kSumLanes weights; zeros pad the last ones, which have level 0 on a grid with an integer
// zero point and so add nothing to any sum. (Vectors go by reference: by value they would depend on
// the calling convention of each instruction set.)
inline void load_lanes(const float* weights, size_t count, FloatLanes& lanes) {
  if (count >= kSumLanes) {
    __builtin_memcpy(&lanes, weights, sizeof(lanes));
  } else {
    lanes = FloatLanes{};
    __builtin_memcpy(&lanes, weights, count * sizeof(float));
  }
}

inline void symbols_of(const FloatLanes& weights, const Grid& grid, FloatLanes& symbol) {
  // Adding and taking away 1.5 * 2^23 rounds half to even: there a float's step is 1.
  constexpr float kRound = 0x1.8p23f;
  const FloatLanes lowest = FloatLanes{} + grid.least_symbol;
  const FloatLanes highest = FloatLanes{} + grid.greatest_symbol;
  symbol = (weights / grid.step + kRound) - kRound + grid.zero_point;
  symbol = symbol < lowest ? lowest : symbol;
  symbol = symbol > highest ? highest : symbol;
}

inline void store_symbols(const FloatLanes& symbol, size_t count, uint8_t* symbols) {
  const ByteLanes bytes =
      __builtin_convertvector(__builtin_convertvector(symbol, IntLanes), ByteLanes);
  __builtin_memcpy(symbols, &bytes, count >= kSumLanes ? kSumLanes : count);
}

void quantize(const float* weights, size_t count, const Grid& grid, uint8_t* symbols,
              SumLanes* noise) {
  const double step = grid.step;
  DoubleLanes sums;
  __builtin_memcpy(&sums, noise->lanes, sizeof(sums));
  for (size_t i = 0; i < count; i += kSumLanes) {
    FloatLanes lanes;
    FloatLanes symbol;
    load_lanes(weights + i, count - i, lanes);
    symbols_of(lanes, grid, symbol);
    // In double, where no product of two floats overflows.
    const FloatLanes level = symbol - grid.zero_point;
    const DoubleLanes error = step * __builtin_convertvector(level, DoubleLanes) -
                              __builtin_convertvector(lanes, DoubleLanes);
    sums += error * error;
    store_symbols(symbol, count - i, symbols + i);
  }
  __builtin_memcpy(noise->lanes, &sums, sizeof(sums));
}

void quantize_to_fit(const float* weights, size_t count, const Grid& grid, uint8_t* symbols,
                     LevelFit* fit) {
  DoubleLanes products;
  DoubleLanes squares;
  __builtin_memcpy(&products, fit->products.lanes, sizeof(products));
  __builtin_memcpy(&squares, fit->squares.lanes, sizeof(squares));
  for (size_t i = 0; i < count; i += kSumLanes) {
    FloatLanes lanes;
    FloatLanes symbol;
    load_lanes(weights + i, count - i, lanes);
    symbols_of(lanes, grid, symbol);
    const DoubleLanes level = __builtin_convertvector(symbol - grid.zero_point, DoubleLanes);
    products += level * __builtin_convertvector(lanes, DoubleLanes);
    squares += level * level;
    store_symbols(symbol, count - i, symbols + i);
  }
  __builtin_memcpy(fit->products.lanes, &products, sizeof(products));
  __builtin_memcpy(fit->squares.lanes, &squares, sizeof(squares));
}

void count_bytes(const uint8_t* bytes, size_t count, uint64_t* counts) {
  // Four sets of counters, since equal neighbours would wait for each other's increments. A set of
  // 32-bit counters cannot overflow within a block.
  constexpr size_t kBlock = size_t{1} << 24;
  constexpr size_t kSets = 4;
  constexpr size_t kStride = 16;
  uint32_t sets[kSets][256];
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = count - begin < kBlock ? count : begin + kBlock;
    __builtin_memset(sets, 0, sizeof(sets));
    size_t i = begin;
    // Loads byte by byte: measured, that is a sixth faster than to take words apart.
    for (; end - i >= kStride; i += kStride) {
#pragma GCC unroll 16
      for (size_t lane = 0; lane < kStride; ++lane) ++sets[lane % kSets][bytes[i + lane]];
    }
    for (; i < end; ++i) ++sets[0][bytes[i]];
    for (size_t value = 0; value < 256; ++value) {
      for (size_t set = 0; set < kSets; ++set) counts[value] += sets[set][value];
    }
  }
}

void pack_nibbles(const uint8_t* symbols, size_t count, uint8_t* pairs) {
  for (size_t i = 0; i < count / 2; ++i) {
    pairs[i] = static_cast<uint8_t>(symbols[2 * i] | symbols[2 * i + 1] << 4);
  }
  if (count % 2 != 0) pairs[count / 2] = symbols[count - 1];
}
