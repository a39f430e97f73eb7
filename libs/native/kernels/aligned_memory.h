// Memory on a multiple of 64 bytes, as vectors and cache lines like it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace entrofleet {

constexpr size_t kMemoryAlignment = 64;

constexpr size_t aligned_size(size_t bytes) {
  return (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

struct FreeAligned {
  void operator()(void* memory) const {
    ::operator delete(memory, std::align_val_t{kMemoryAlignment});
  }
};

// `Element` is plain data; its content is not initialized.
template <typename Element>
using AlignedArray = std::unique_ptr<Element[], FreeAligned>;

// Throws std::bad_alloc.
template <typename Element>
AlignedArray<Element> allocate_aligned(size_t count) {
  void* const memory =
      ::operator new(count * sizeof(Element), std::align_val_t{kMemoryAlignment});
  return AlignedArray<Element>(static_cast<Element*>(memory));
}

}  // namespace entrofleet
