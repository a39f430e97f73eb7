#include "kernels/window_matrix.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "kernels/window_choice.h"

namespace entrofleet {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kPageBytes = 65536;  // a multiple of every page size in use
// Groups are brought to their matrix in runs of about so many bytes, for memory delivers one stream
// faster than many pieces; a run stays in the second-level cache meanwhile.
constexpr size_t kRunBytes = size_t{1} << 18;
constexpr size_t kHugePageBytes = size_t{1} << 21;

size_t round_up(size_t value, size_t to) { return (value + to - 1) / to * to; }

// Room of `bytes` (a multiple of kPageBytes) that costs no memory until it is written.
uint8_t* reserve(size_t bytes) {
  const size_t slack = bytes < kHugePageBytes ? 0 : kHugePageBytes;
  void* const mapped = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  uint8_t* const first = static_cast<uint8_t*>(mapped);
  if (slack == 0) return first;
  const size_t skipped =
      round_up(reinterpret_cast<size_t>(first), kHugePageBytes) - reinterpret_cast<size_t>(first);
  if (skipped > 0) munmap(first, skipped);
  if (skipped < slack) munmap(first + skipped + bytes, slack - skipped);
  // Only advice: without huge pages everything works, with more misses of the address cache.
  madvise(first + skipped, bytes, MADV_HUGEPAGE);
  return first + skipped;
}

// Both symbols of a pair at once, so that the loop becomes vector code (little-endian).
void unpack_pairs(const uint8_t* __restrict pairs, size_t count, uint8_t* __restrict symbols) {
  for (size_t i = 0; i < count; ++i) {
    const uint16_t pair = pairs[i];
    const uint16_t both = static_cast<uint16_t>((pair | pair << 4) & 0x0F0F);
    std::memcpy(symbols + 2 * i, &both, sizeof(both));
  }
}

}  // namespace

bool uses_escapes(WindowForm form, const EngineKernels& kernels) {
  return form == WindowForm::kEscapes || (form == WindowForm::kWindow && kernels.has_fast_escapes);
}

WindowMatrix::WindowMatrix(const WindowShape& shape) : shape_(shape) {
  if (shape.columns > kMostWindowColumns) {
    throw std::length_error("a matrix of windows has at most 65536 columns");
  }
  groups_.resize(window_groups(shape.rows));
  view_ = {shape.rows, shape.columns, shape.symbol_bits, groups_.data()};
  const size_t group_bytes = tiles_across(shape.columns) * tile_bytes(shape.symbol_bits);
  reserved_bytes_ = round_up(groups_.size() * group_bytes, kPageBytes);
  if (reserved_bytes_ > 0) data_ = reserve(reserved_bytes_);
}

WindowMatrix::~WindowMatrix() {
  if (reserved_bytes_ > 0) munmap(data_, reserved_bytes_);
}

void WindowMatrix::learn(const TupleSample& sample) {
  if (sample.empty() || !CodebookCoder::may_pay(sample)) return;
  coder_ = std::make_unique<const CodebookCoder>(sample, shape_.symbol_bits);
}

void WindowMatrix::finish() {
  const size_t kept = round_up(used_bytes_.load(), kPageBytes);
  if (kept < reserved_bytes_) munmap(data_ + kept, reserved_bytes_ - kept);
  reserved_bytes_ = kept;
}

size_t WindowMatrix::resident_bytes() const {
  return used_bytes_.load() + groups_.size() * sizeof(WindowGroup);
}

size_t WindowMatrix::exceptions() const {
  size_t total = 0;
  for (const WindowGroup& group : groups_) total += group.exception_count;
  return total;
}

uint8_t* WindowMatrix::take(size_t bytes) {
  return data_ + used_bytes_.fetch_add(bytes);
}

WindowPacker::WindowPacker(WindowMatrix& matrix, const EngineKernels& kernels)
    : matrix_(matrix),
      kernels_(kernels),
      tile_room_(tiles_across(matrix.shape().columns) * tile_bytes(matrix.shape().symbol_bits)),
      tiles_(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, tile_room_)), std::free),
      outside_(tile_room_ / sizeof(uint16_t)) {
  if (tiles_ == nullptr && tile_room_ > 0) throw std::bad_alloc();
  // All that a run can come to have, for packing must not fail.
  run_.reserve(kRunBytes + tile_room_);
  run_groups_.reserve(matrix.groups_.size());
  const WindowShape& shape = matrix.shape();
  if (shape.symbol_bits == 4) unpacked_.resize(kWindowRows * shape.columns + 1);
}

void WindowPacker::pack(size_t row_begin, size_t row_end, const uint8_t* symbols) {
  for (size_t row = row_begin; row < row_end; row += kWindowRows) {
    pack_rows(row, std::min(kWindowRows, row_end - row),
              symbols + (row - row_begin) * matrix_.shape().columns);
  }
  move_run();
}

void WindowPacker::pack_pairs(size_t row_begin, size_t row_end, const uint8_t* pairs) {
  const size_t columns = matrix_.shape().columns;
  for (size_t row = row_begin; row < row_end; row += kWindowRows) {
    const size_t rows = std::min(kWindowRows, row_end - row);
    // Sixteen rows are a whole number of pairs.
    const uint8_t* from = pairs + (row - row_begin) / 2 * columns;
    unpack_pairs(from, (rows * columns + 1) / 2, unpacked_.data());
    pack_rows(row, rows, unpacked_.data());
  }
  move_run();
}

void WindowPacker::pack_rows(size_t row, size_t rows, const uint8_t* symbols) {
  const WindowShape& shape = matrix_.shape();
  const SymbolBlock block = {symbols, shape.columns, rows, shape.columns};
  const size_t group = row / kWindowRows;
  if (shape.form == WindowForm::kPlain) {
    return pack_window(block, group, {static_cast<uint8_t>(shape.symbol_bits), 0});
  }
  const WindowChoice choice = choose_window(sample_symbols(block), limits(1));
  const CodebookCoder* const coder = matrix_.coder_.get();
  if (coder != nullptr && coder->cost(block) < choice.cost && pack_coded(block, group)) return;
  pack_window(block, group, choice.window);
}

WindowLimits WindowPacker::limits(unsigned least_bits) const {
  const WindowShape& shape = matrix_.shape();
  return {shape.symbol_bits, least_bits, uses_escapes(shape.form, kernels_)};
}

bool WindowPacker::pack_coded(const SymbolBlock& block, size_t group) {
  const CodebookCodes codes = matrix_.coder_->codes();
  WindowGroup packed = {};
  packed.codebook = codes.codebook;
  const PackedOutside outside =
      kernels_.pack_coded_group(block, codes, tiles_.get(), room(), room_beside(packed));
  if (!outside.fits) return false;
  packed.exception_count = outside.count;
  keep(packed, group, outside.bytes);
  return true;
}

void WindowPacker::pack_window(const SymbolBlock& block, size_t group, Window window) {
  const unsigned symbol_bits = matrix_.shape().symbol_bits;
  for (;;) {
    WindowGroup packed = {};
    packed.window = window;
    const PackedOutside outside = kernels_.pack_group(block, window, symbol_bits, tiles_.get(),
                                                      room(), room_beside(packed));
    if (outside.fits) {
      packed.exception_count = outside.count;
      return keep(packed, group, outside.bytes);
    }
    window = choose_window(sample_symbols(block), limits(window.bits + 1u)).window;
  }
}

uint8_t* WindowPacker::room() { return reinterpret_cast<uint8_t*>(outside_.data()); }

// What a group takes is at most what was reserved for it: its plain form.
size_t WindowPacker::room_beside(const WindowGroup& group) const {
  const size_t tiles = round_up(tile_bytes_of(group), kAlignment);
  return tiles < tile_room_ ? (tile_room_ - tiles) / kAlignment * kAlignment : 0;
}

size_t WindowPacker::tile_bytes_of(const WindowGroup& group) const {
  return group_tiles(group, matrix_.shape().columns) * group_tile_bytes(group);
}

// Adds what was packed to the run.
void WindowPacker::keep(WindowGroup packed, size_t group, size_t outside_bytes) {
  const size_t bytes = tile_bytes_of(packed);
  const size_t begin = run_.size();
  const size_t tiles_at = begin + round_up(outside_bytes, kAlignment);
  run_.resize(tiles_at + round_up(bytes, kAlignment));
  std::memcpy(run_.data() + begin, room(), outside_bytes);
  std::memcpy(run_.data() + tiles_at, tiles_.get(), bytes);
  run_groups_.push_back({group, packed, begin, tiles_at});
  if (run_.size() >= kRunBytes) move_run();
}

void WindowPacker::move_run() {
  if (run_.empty()) return;
  uint8_t* const to = matrix_.take(run_.size());
  std::memcpy(to, run_.data(), run_.size());
  for (PackedGroup& packed : run_groups_) {
    packed.group.outside = to + packed.begin;
    packed.group.tiles = to + packed.tiles_at;
    matrix_.groups_[packed.index] = packed.group;
  }
  run_.clear();
  run_groups_.clear();
}

TupleSample sample_tuples(const WindowShape& shape, const WindowSource& source) {
  TupleSample sample;
  const size_t groups = window_groups(shape.rows);
  const size_t stride = std::max<size_t>(1, groups / kSampledBlocks);
  std::vector<uint8_t> unpacked;
  for (size_t group = 0; group < groups; group += stride) {
    const size_t row = group * kWindowRows;
    const size_t rows = std::min(kWindowRows, shape.rows - row);
    const uint8_t* symbols = source.symbols + row * shape.columns;
    if (source.nibble_pairs) {
      const uint8_t* const pairs = source.symbols + row / 2 * shape.columns;
      unpacked.resize(rows * shape.columns);
      for (size_t i = 0; i < unpacked.size(); ++i) {
        unpacked[i] = pairs[i / 2] >> (4 * (i % 2)) & 15;
      }
      symbols = unpacked.data();
    }
    sample.add({symbols, shape.columns, rows, shape.columns});
  }
  return sample;
}

std::shared_ptr<WindowMatrix> pack_windows(const WindowShape& shape, const WindowSource& source,
                                           const EngineKernels& kernels, ThreadTeam& team) {
  const auto matrix = std::make_shared<WindowMatrix>(shape);
  if (uses_escapes(shape.form, kernels)) {
    matrix->learn(sample_tuples(shape, source));
  }
  std::vector<WindowPacker> packers;
  packers.reserve(static_cast<size_t>(team.size()));
  for (int member = 0; member < team.size(); ++member) packers.emplace_back(*matrix, kernels);
  // Pieces of about a run.
  const size_t group_bytes = std::max<size_t>(1, shape.columns * kWindowRows);
  const size_t piece_rows = (1 + kRunBytes / group_bytes) * kWindowRows;
  team.share((shape.rows + piece_rows - 1) / piece_rows, [&](size_t piece, int member) {
    WindowPacker& packer = packers[static_cast<size_t>(member)];
    const size_t row = piece * piece_rows;
    const size_t end = std::min(row + piece_rows, shape.rows);
    if (source.nibble_pairs) {
      packer.pack_pairs(row, end, source.symbols + row / 2 * shape.columns);
    } else {
      packer.pack(row, end, source.symbols + row * shape.columns);
    }
  });
  matrix->finish();
  return matrix;
}

}  // namespace entrofleet
