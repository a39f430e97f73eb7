#include "kernels/window_assembler.h"

#include <algorithm>
#include <cstring>

namespace entrofleet {

WindowAssembler::WindowAssembler(const WindowShape& shape, const EngineKernels& kernels)
    : matrix_(std::make_shared<WindowMatrix>(shape)),
      has_escapes_(uses_escapes(shape.form, kernels)),
      // Sixteen rows are a whole number of nibble pairs.
      group_bytes_(kWindowRows * shape.columns * shape.symbol_bits / 8),
      bytes_((shape.rows * shape.columns * shape.symbol_bits + 7) / 8) {}

size_t WindowAssembler::group_end(size_t group) const {
  return std::min(bytes_, (group + 1) * group_bytes_);
}

void WindowAssembler::take(WindowPacker& packer, size_t begin, std::span<const uint8_t> symbols) {
  const size_t end = begin + symbols.size();
  while (begin < end) {
    const size_t group = begin / group_bytes_;
    const uint8_t* const from = symbols.data() + (symbols.size() - (end - begin));
    size_t groups = 0;
    if (begin == group_begin(group)) {
      while (group_begin(group + groups) < end && group_end(group + groups) <= end) ++groups;
    }
    const size_t taken_end =
        groups > 0 ? group_end(group + groups - 1) : std::min(end, group_end(group));
    if (groups > 0) {
      pack(packer, group, groups, from);
    } else {
      take_part(packer, group, begin, {from, taken_end - begin});
    }
    begin = taken_end;
  }
}

void WindowAssembler::pack(WindowPacker& packer, size_t group, size_t groups,
                           const uint8_t* symbols) {
  const WindowShape& shape = matrix_->shape();
  const size_t row = group * kWindowRows;
  const size_t row_end = std::min(shape.rows, row + groups * kWindowRows);
  if (has_escapes_) {
    std::call_once(learned_, [&] {
      WindowShape part = shape;
      part.rows = row_end - row;
      matrix_->learn(sample_tuples(part, {symbols, shape.symbol_bits == 4}));
    });
  }
  if (shape.symbol_bits == 4) {
    packer.pack_pairs(row, row_end, symbols);
  } else {
    packer.pack(row, row_end, symbols);
  }
}

void WindowAssembler::take_part(WindowPacker& packer, size_t group, size_t begin,
                                std::span<const uint8_t> symbols) {
  std::shared_ptr<Seam> seam;
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Seam>& found = seams_[group];
    if (found == nullptr) {
      const size_t bytes = group_end(group) - group_begin(group);
      found = std::make_shared<Seam>();
      found->symbols.reset(new uint8_t[bytes]);
      found->missing.store(bytes);
    }
    seam = found;
  }
  std::memcpy(seam->symbols.get() + (begin - group_begin(group)), symbols.data(), symbols.size());
  // Whoever brings the last part sees the parts of all others: the counter orders their writes.
  if (seam->missing.fetch_sub(symbols.size()) != symbols.size()) return;
  pack(packer, group, 1, seam->symbols.get());
  const std::lock_guard lock(mutex_);
  seams_.erase(group);
}

std::shared_ptr<WindowMatrix> WindowAssembler::finish() {
  matrix_->finish();
  return matrix_;
}

}  // namespace entrofleet
