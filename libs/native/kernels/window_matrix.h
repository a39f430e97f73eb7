// Owns a matrix of symbols as windows plus exceptions (window_format.h, RESIDENT.md).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/window_choice.h"
#include "kernels/window_codebook.h"
#include "kernels/engine_kernels.h"
#include "kernels/thread_team.h"
#include "kernels/window_format.h"

namespace entrofleet {

// kPlain gives every group all symbol_bits, hence no exceptions: plain uint8 or uint4. kEscapes
// lets groups be windows with escapes or indices into a codebook, and kWindow does where that is
// fast, or else takes windows with lists.
enum class WindowForm { kWindow, kPlain, kEscapes };

struct WindowShape {
  size_t rows;
  size_t columns;        // at most kMostWindowColumns
  unsigned symbol_bits;  // 8, or 4 where all symbols are below 16
  WindowForm form = WindowForm::kWindow;
};

class WindowMatrix {
 public:
  // Reserves room for the plain form; memory is taken as rows are packed. Throws std::bad_alloc,
  // and std::length_error for too many columns.
  explicit WindowMatrix(const WindowShape& shape);
  ~WindowMatrix();
  WindowMatrix(const WindowMatrix&) = delete;
  WindowMatrix& operator=(const WindowMatrix&) = delete;

  const WindowShape& shape() const { return shape_; }
  // Valid as long as the matrix; complete when all rows are packed.
  const WindowView& view() const { return view_; }

  // Makes a codebook that groups packed from now on may use. Call before packing, with a sample of
  // the matrix; without one, and for the plain form, groups hold windows.
  void learn(const TupleSample& sample);

  // Gives the room back that packing has not used. Call once, when all rows are packed.
  void finish();

  // Of the groups' data and their table, so far.
  size_t resident_bytes() const;
  // Of all groups: entries of their lists, or literals.
  size_t exceptions() const;

  // The first `count` symbols of a row.
  void read_row(const EngineKernels& kernels, size_t row, size_t count, uint8_t* symbols) const {
    kernels.unpack_row(groups_[row / kWindowRows], shape_.symbol_bits, row % kWindowRows, count,
                       symbols);
  }

 private:
  friend class WindowPacker;

  uint8_t* take(size_t bytes);

  WindowShape shape_;
  WindowView view_;
  std::vector<WindowGroup> groups_;
  std::unique_ptr<const CodebookCoder> coder_;
  uint8_t* data_ = nullptr;
  size_t reserved_bytes_ = 0;
  std::atomic<size_t> used_bytes_{0};
};

// Packs rows of a matrix. Each thread has its own; those of one matrix may work at the same time on
// different groups, in any order.
class WindowPacker {
 public:
  WindowPacker(WindowMatrix& matrix, const EngineKernels& kernels);

  // Packs rows row_begin..row_end-1 from row-major symbols, a byte each, of which `symbols` is row
  // row_begin's first. row_begin is a multiple of kWindowRows, and row_end too unless it is the
  // number of rows.
  void pack(size_t row_begin, size_t row_end, const uint8_t* symbols);

  // The same from nibble pairs over rows that follow each other (low nibble first), the first
  // symbol in the low nibble of pairs[0].
  void pack_pairs(size_t row_begin, size_t row_end, const uint8_t* pairs);

 private:
  void pack_rows(size_t row, size_t rows, const uint8_t* symbols);
  bool pack_coded(const SymbolBlock& block, size_t group);
  void pack_window(const SymbolBlock& block, size_t group, Window window);
  WindowLimits limits(unsigned least_bits) const;
  uint8_t* room();
  size_t room_beside(const WindowGroup& group) const;
  size_t tile_bytes_of(const WindowGroup& group) const;
  void keep(WindowGroup packed, size_t group, size_t outside_bytes);
  void move_run();

  WindowMatrix& matrix_;
  const EngineKernels& kernels_;
  size_t tile_room_;
  std::unique_ptr<uint8_t, void (*)(void*)> tiles_;
  std::vector<uint16_t> outside_;  // exceptions or literals
  std::vector<uint8_t> unpacked_;
  // Groups that follow each other and are to do so in memory. Their pointers are set when the run
  // is moved there.
  struct PackedGroup {
    size_t index;
    WindowGroup group;
    size_t begin;
    size_t tiles_at;
  };
  std::vector<uint8_t> run_;
  std::vector<PackedGroup> run_groups_;
};

struct WindowSource {
  const uint8_t* symbols;
  // A symbol a byte, or nibble pairs over the whole matrix (low nibble first).
  bool nibble_pairs;
};

bool uses_escapes(WindowForm form, const EngineKernels& kernels);

// A sample of groups from all over a matrix.
TupleSample sample_tuples(const WindowShape& shape, const WindowSource& source);

// Packs a whole matrix with all members of a team, and finishes it.
std::shared_ptr<WindowMatrix> pack_windows(const WindowShape& shape, const WindowSource& source,
                                           const EngineKernels& kernels, ThreadTeam& team);

}  // namespace entrofleet
