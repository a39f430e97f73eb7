#include "kernels/product_round.h"

#include <algorithm>

namespace entrofleet {

void ProductRound::measure(const ResidentMatrix& matrix, size_t positions) {
  own_bytes_ = std::max(own_bytes_, aligned_size(matrix.scratch_bytes(positions)));
  shared_bytes_ = std::max(shared_bytes_, aligned_size(matrix.shared_bytes(positions)));
}

void ProductRound::allocate(int members) {
  const size_t bytes = kMostProducts * shared_bytes_ + static_cast<size_t>(members) * own_bytes_;
  memory_ = allocate_aligned<uint8_t>(bytes);
}

ProductScratch ProductRound::scratch(size_t product, int member) const {
  uint8_t* const own = memory_.get() + kMostProducts * shared_bytes_;
  return {own + static_cast<size_t>(member) * own_bytes_,
          memory_.get() + product * shared_bytes_};
}

void ProductRound::run(ThreadTeam& team, const MatrixInputs& inputs,
                       std::span<const Product> products) {
  size_t items = 0;
  for (const Product& product : products) items += product.matrix->items();
  team.share(items, [&](size_t item, int member) {
    size_t index = 0;
    while (item >= products[index].matrix->items()) item -= products[index++].matrix->items();
    const Product& product = products[index];
    product.matrix->multiply(inputs, item, scratch(index, member), product.outputs);
  });
  for (size_t index = 0; index < products.size(); ++index) {
    const Product& product = products[index];
    product.matrix->finish(inputs, scratch(index, 0), product.outputs);
  }
}

}  // namespace entrofleet
