// Packs a matrix into windows from runs of its symbols that arrive in any order, on several
// threads: no more of the matrix is held as symbols than the groups that two runs share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>

#include "kernels/window_matrix.h"

namespace entrofleet {

class WindowAssembler {
 public:
  // Throws what WindowMatrix does.
  WindowAssembler(const WindowShape& shape, const EngineKernels& kernels);

  // Each thread works with a packer of its own for the matrix.
  WindowMatrix& matrix() const { return *matrix_; }

  // Takes the symbols from byte `begin` of the matrix on: a symbol a byte or, with 4 bits, nibble
  // pairs over the whole matrix. Every byte comes once. Throws std::bad_alloc.
  void take(WindowPacker& packer, size_t begin, std::span<const uint8_t> symbols);

  // Once all bytes were taken; a second call changes nothing.
  std::shared_ptr<WindowMatrix> finish();

 private:
  // A group whose symbols come in more than one run.
  struct Seam {
    std::unique_ptr<uint8_t[]> symbols;
    std::atomic<size_t> missing;
  };

  size_t group_begin(size_t group) const { return group * group_bytes_; }
  size_t group_end(size_t group) const;
  void pack(WindowPacker& packer, size_t group, size_t groups, const uint8_t* symbols);
  void take_part(WindowPacker& packer, size_t group, size_t begin,
                 std::span<const uint8_t> symbols);

  std::shared_ptr<WindowMatrix> matrix_;
  bool has_escapes_;
  size_t group_bytes_;
  size_t bytes_;
  // The first groups that are complete stand for the matrix when its codebook is made.
  std::once_flag learned_;
  std::mutex mutex_;
  std::unordered_map<size_t, std::shared_ptr<Seam>> seams_;
};

}  // namespace entrofleet
