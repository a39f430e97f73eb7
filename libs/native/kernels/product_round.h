// Runs products of matrices with one block of inputs on a team of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/aligned_memory.h"
#include "kernels/resident_matrix.h"
#include "kernels/thread_team.h"

namespace entrofleet {

struct Product {
  const ResidentMatrix* matrix;
  MatrixOutputs outputs;
};

class ProductRound {
 public:
  // Products of one round at most: query, key and value.
  static constexpr size_t kMostProducts = 3;

  // Makes room for products of the matrix; call it for each matrix before the first run().
  void measure(const ResidentMatrix& matrix, size_t positions);
  // Throws std::bad_alloc.
  void allocate(int members);

  // The products' items are one list that the members share. Throws what finish() throws.
  void run(ThreadTeam& team, const MatrixInputs& inputs, std::span<const Product> products);

 private:
  ProductScratch scratch(size_t product, int member) const;

  size_t own_bytes_ = 0;
  size_t shared_bytes_ = 0;
  AlignedArray<uint8_t> memory_;
};

}  // namespace entrofleet
