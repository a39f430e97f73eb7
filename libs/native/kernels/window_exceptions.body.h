// The part of a product that a group's exceptions have (window_format.h).

// So many products of a difference of symbols and an activation fit 32 bits: 512 * 255 * 16319 is
// less than 2^31.
constexpr size_t kRunExceptions = 512;

// Where a group's exceptions have been read to.
struct ExceptionReader {
  const uint16_t* next;
  const uint16_t* end;
  int32_t low;
  size_t place;
};

inline ExceptionReader read_exceptions(const WindowGroup& group) {
  return {group.list(), group.list() + group.exception_count, group.window.low, 0};
}

// Adds (q - low) * whole for the exceptions up to `stop`, at most kRunExceptions until the sums are
// carried (carry_sums).
template <unsigned kSymbolBits, size_t kPositions>
[[gnu::always_inline]] inline void add_exceptions(ExceptionReader& reader, const uint16_t* stop,
                                                  const int16_t* whole, size_t stride,
                                                  int32_t (&sums)[kPositions][kWindowRows]) {
#pragma GCC unroll 4
  for (; reader.next != stop; ++reader.next) {
    const uint32_t entry = *reader.next;
    reader.place += entry >> kSymbolBits;
    const int32_t delta = static_cast<int32_t>(entry & ((1u << kSymbolBits) - 1)) - reader.low;
    // Places are below 16 x the columns, and so columns below the activations' stride.
    const size_t column = reader.place / kWindowRows;
    const size_t row = reader.place % kWindowRows;
    for (size_t p = 0; p < kPositions; ++p) sums[p][row] += delta * whole[p * stride + column];
  }
}

// Moves the 32-bit sums of a run to the 64-bit ones.
template <size_t kPositions>
inline void carry_sums(int32_t (&part)[kPositions][kWindowRows],
                       int64_t (&sums)[kPositions][kWindowRows]) {
  for (size_t p = 0; p < kPositions; ++p) {
    for (size_t r = 0; r < kWindowRows; ++r) {
      sums[p][r] += part[p][r];
      part[p][r] = 0;
    }
  }
}

// All of a group's exceptions at once.
template <unsigned kSymbolBits, size_t kPositions>
inline void add_all_exceptions(const WindowGroup& group, const Activations& inputs,
                               int64_t (&sums)[kPositions][kWindowRows]) {
  ExceptionReader reader = read_exceptions(group);
  int32_t part[kPositions][kWindowRows] = {};
  while (reader.next != reader.end) {
    const size_t left = static_cast<size_t>(reader.end - reader.next);
    const uint16_t* const stop = reader.next + (left < kRunExceptions ? left : kRunExceptions);
    add_exceptions<kSymbolBits>(reader, stop, inputs.whole, inputs.stride, part);
    carry_sums(part, sums);
  }
}
