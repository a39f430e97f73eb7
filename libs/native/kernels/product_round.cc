#include "kernels/product_round.h"

#include <algorithm>
#include <new>

namespace entrofleet {
namespace {

constexpr std::align_val_t kAlignment{64};

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

void ProductRound::Free::operator()(uint8_t* memory) const {
  ::operator delete(memory, kAlignment);
}

void ProductRound::measure(const ResidentMatrix& matrix, size_t positions) {
  own_bytes_ = std::max(own_bytes_, aligned(matrix.scratch_bytes(positions)));
  shared_bytes_ = std::max(shared_bytes_, aligned(matrix.shared_bytes(positions)));
}

void ProductRound::allocate(int members) {
  const size_t bytes = kMostProducts * shared_bytes_ + static_cast<size_t>(members) * own_bytes_;
  memory_.reset(static_cast<uint8_t*>(::operator new(bytes, kAlignment)));
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
