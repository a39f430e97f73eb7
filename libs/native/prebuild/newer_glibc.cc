// What libstdc++ takes from a glibc newer than GLIBC_FLOOR (see prebuild/rules.mk), for a prebuilt
// addon to have in itself. None of it is exported.
#include <unistd.h>

#include <cstdint>

extern "C" {

// Tells shared pointers that they may do without atomic instructions; never in Node.
char __libc_single_threaded = 0;

// std::random_device's source. The kernels draw no random numbers, so this is never called.
uint32_t arc4random() {
  uint32_t bits = 0;
  static_cast<void>(getentropy(&bits, sizeof(bits)));
  return bits;
}

}  // extern "C"
