// Products and unpacking of tiles whose escapes stand for literals with AVX-512
// (window_escapes.body.h).

constexpr bool kHasFastEscapes = true;

#include "kernels/window_escape_tiles_avx512.body.h"

#include "kernels/window_escape_pack_avx512.body.h"

// A codebook's far table, and a block of literals that it stands for.
class LiteralDecoder {
 public:
  explicit LiteralDecoder(const Codebook& codebook)
      : first_(codebook.far.first), second_(codebook.far.second) {}

  // Writes `count` tuples (whole vectors), at most kLiteralBlock, and moves `written` on.
  void decode(const uint8_t* literals, size_t count, const uint8_t*& written, uint8_t* first,
              uint8_t* second) const {
    const __m512i literal = load_vector(literals);
    const __mmask64 escapes = _mm512_mask_cmpeq_epi8_mask(
        _bzhi_u64(~uint64_t{0}, static_cast<unsigned>(count)), literal,
        _mm512_set1_epi8(static_cast<char>(Codebook::kFarEscape)));
    const size_t written_count = count_places(escapes);
    _mm512_storeu_si512(first, expand_literals(first_.look_up(literal), escapes, written));
    written += written_count;
    _mm512_storeu_si512(second, expand_literals(second_.look_up(literal), escapes, written));
    written += written_count;
  }

 private:
  CodeTable<8> first_;
  CodeTable<8> second_;
};

// All literals of a group; those of tuples decoded to `scratch`, which has room for the most.
inline Literals decode_literals(const WindowGroup& group, uint8_t* scratch) {
  if (group.codebook == nullptr) return {group.outside, nullptr};
  static_assert(2 * (kMostLiterals + kLiteralBlock) <= kWindowScratchBytes);
  uint8_t* const second = scratch + kMostLiterals + kLiteralBlock;
  const LiteralDecoder decoder(*group.codebook);
  const uint8_t* written = group.outside + group.exception_count;
  for (size_t at = 0; at < group.exception_count; at += kLiteralBlock) {
    const size_t left = group.exception_count - at;
    decoder.decode(group.outside + at, left < kLiteralBlock ? left : kLiteralBlock, written,
                   scratch + at, second + at);
  }
  return {scratch, second};
}

// Where the literals of a group continue in its next tile: those of windows at `next`, tuples in
// a buffer that is filled before each tile.
class EscapeCursor {
 public:
  EscapeCursor() = default;
  explicit EscapeCursor(const WindowGroup& group)
      : next_(group.outside),
        left_(group.exception_count),
        written_(group.outside + group.exception_count) {}

  Literals windows() const { return {next_, nullptr}; }
  void take_windows(const Literals& rest) { next_ = rest.first; }

  // At least as many tuples as a tile can have escapes, or all that are left.
  Literals tuples(const Codebook& codebook) {
    if (end_ - begin_ < kMostEscapes && left_ > 0) fill(codebook);
    return {first_ + begin_, second_ + begin_};
  }
  void take_tuples(const Literals& rest) { begin_ = static_cast<size_t>(rest.first - first_); }

 private:
  static constexpr size_t kMostEscapes = kIndexVectors * kStepBytes;

  void fill(const Codebook& codebook) {
    end_ -= begin_;
    __builtin_memmove(first_, first_ + begin_, end_);
    __builtin_memmove(second_, second_ + begin_, end_);
    begin_ = 0;
    const LiteralDecoder decoder(codebook);
    while (end_ < kMostEscapes && left_ > 0) {
      const size_t count = left_ < kLiteralBlock ? left_ : kLiteralBlock;
      decoder.decode(next_, count, written_, first_ + end_, second_ + end_);
      next_ += count;
      end_ += count;
      left_ -= count;
    }
  }

  const uint8_t* next_ = nullptr;
  size_t left_ = 0;
  const uint8_t* written_ = nullptr;
  size_t begin_ = 0;
  size_t end_ = 0;
  // A vector is written from the last place before kMostEscapes, and read from the last tuple on.
  uint8_t first_[kMostEscapes + 2 * kLiteralBlock];
  uint8_t second_[kMostEscapes + 2 * kLiteralBlock];
};

// Writes the eight steps of half a tile.
template <size_t kHalf, typename Tiles>
inline void unpack_half(const Tiles& tiles, const uint8_t* tile, Literals& literals,
                        uint8_t* symbols) {
  Steps step;
  tiles.template load<kHalf, false>(tile, literals, step);
  for (size_t i = 0; i < kTileSteps; ++i) {
    _mm512_storeu_si512(symbols + (kHalf * kTileSteps + i) * kStepBytes, step[i]);
  }
}

inline void unpack_escaped(const uint8_t* tile, Window window, EscapeCursor& cursor,
                           uint8_t* symbols) {
  with_escaped_tiles(window.bits, [&](auto type) {
    Literals literals = cursor.windows();
    unpack_half<0>(typename decltype(type)::Type(window), tile, literals, symbols);
    cursor.take_windows(literals);
  });
}

inline void unpack_codes(const uint8_t* tile, const Codebook& codebook, EscapeCursor& cursor,
                         uint8_t* symbols) {
  with_code_tiles(codebook, [&](auto type) {
    using Tiles = typename decltype(type)::Type;
    const Tiles tiles(codebook);
    Literals literals = cursor.tuples(codebook);
    unpack_half<0>(tiles, tile, literals, symbols);
    if constexpr (Tiles::kSteps > kTileSteps) unpack_half<1>(tiles, tile, literals, symbols);
    cursor.take_tuples(literals);
  });
}

template <typename Tiles, size_t kPositions>
[[gnu::noinline]] void dot_escaped_tiles(const WindowGroup& group, size_t columns,
                                         const Activations& inputs, ReadAhead& ahead,
                                         Literals literals,
                                         int64_t (&sums)[kPositions][kWindowRows]) {
  const Tiles held(group);
  const size_t tiles = group_tiles(group, columns);
  GroupSums<kPositions> dense;
  dense.clear();
  for (size_t i = 0; i < tiles; ++i) {
    add_tile(held, group.tiles + i * Tiles::kBytes, inputs, i * Tiles::kSteps * kStepColumns,
             literals, ahead, dense);
  }
  dense.template store<Tiles::kOddShift>(sums);
}

template <size_t kPositions>
inline void dot_escaped(const WindowGroup& group, size_t columns, const Activations& inputs,
                        ReadAhead& ahead, uint8_t* scratch,
                        int64_t (&sums)[kPositions][kWindowRows]) {
  prefetch_outside(group, ahead);
  const Literals literals = decode_literals(group, scratch);
  const auto dot = [&](auto type) {
    dot_escaped_tiles<typename decltype(type)::Type>(group, columns, inputs, ahead, literals,
                                                     sums);
  };
  if (group.codebook != nullptr) {
    with_code_tiles(*group.codebook, dot);
  } else {
    with_escaped_tiles(group.window.bits, dot);
  }
}
