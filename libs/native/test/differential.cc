#include "test/differential.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

namespace entrofleet::test {

void require_same(bool same, const std::string& what) {
  if (!same) throw Difference(what);
}

uint64_t Random::next() {
  uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
  return mixed ^ mixed >> 31;
}

std::vector<uint8_t> Random::bytes(size_t count) {
  std::vector<uint8_t> result(count);
  for (uint8_t& byte : result) byte = static_cast<uint8_t>(next());
  return result;
}

std::vector<uint8_t> random_symbols(Random& random, size_t most) {
  std::vector<uint8_t> symbols = random.bytes(random.one_in(16) ? 0 : random.below(most + 1));
  const size_t shape = random.below(5);
  const uint8_t centre = static_cast<uint8_t>(random.next());
  const uint8_t scale = static_cast<uint8_t>(1 + random.below(40));
  for (uint8_t& symbol : symbols) {
    if (shape == 1) {
      const int sum = std::popcount(random.next()) - 32;
      symbol = static_cast<uint8_t>(centre + sum * scale / 8);
    } else if (shape == 2) {
      symbol = static_cast<uint8_t>(centre + std::countr_zero(random.next() | uint64_t{1} << 40));
    } else if (shape == 3) {
      symbol = static_cast<uint8_t>(centre + symbol % scale * 7);
    } else if (shape == 4) {
      symbol = centre;
    }
  }
  return symbols;
}

Histogram histogram(const std::vector<uint8_t>& symbols) {
  Histogram counts{};
  for (const uint8_t symbol : symbols) ++counts[symbol];
  return counts;
}

GuardedBytes::GuardedBytes(size_t size, Guard guard) : size_(size) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t usable = (size + page - 1) / page * page;
  mapped_bytes_ = usable + page;
  pages_ = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages_ == MAP_FAILED) throw std::runtime_error("mmap failed");
  uint8_t* const first = static_cast<uint8_t*>(pages_);
  uint8_t* const guarded = guard == Guard::kBefore ? first : first + usable;
  if (mprotect(guarded, page, PROT_NONE) != 0) throw std::runtime_error("mprotect failed");
  data_ = guard == Guard::kBefore ? first + page : first + usable - size;
}

GuardedBytes::GuardedBytes(const std::vector<uint8_t>& bytes, Guard guard)
    : GuardedBytes(bytes.size(), guard) {
  std::copy(bytes.begin(), bytes.end(), data_);
}

GuardedBytes::~GuardedBytes() { munmap(pages_, mapped_bytes_); }

}  // namespace entrofleet::test
