// The 16-bit floats as stored, and their exact conversion to float32.
#pragma once

#include <cstdint>
#include <cstring>

namespace entrofleet {

struct Float16 {
  uint16_t bits;
};
struct Bfloat16 {
  uint16_t bits;
};

}  // namespace entrofleet
