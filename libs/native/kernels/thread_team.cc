#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

constexpr int kSpins = 4000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadTeam::ThreadTeam(int size) : size_(size < 1 ? 1 : size) {
  workers_.reserve(static_cast<size_t>(size_ - 1));
  try {
    for (int member = 1; member < size_; ++member) {
      workers_.emplace_back([this, member] { serve(member); });
    }
  } catch (...) {
    // A joinable std::thread that is destroyed ends the process, so those that did start are
    // joined before the caller learns that the system has no more threads.
    stop();
    throw;
  }
}

ThreadTeam::~ThreadTeam() { stop(); }

void ThreadTeam::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_.store(true);
    round_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadTeam::start(Entry entry, const void* context) {
  if (size_ == 1) {
    entry(context, 0);
    return;
  }
  entry_ = entry;
  context_ = context;
  remaining_.store(size_ - 1, std::memory_order_relaxed);
  // Sequentially consistent with the sleeper's asleep_ increment: either we see it asleep and
  // notify under the lock, or it sees the new round before it waits.
  round_.fetch_add(1);
  if (asleep_.load() > 0) {
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  entry(context, 0);
  for (int spins = 0; remaining_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadTeam::serve(int member) {
  uint64_t seen = 0;
  for (;;) {
    for (int spins = 0; round_.load() == seen && spins < kSpins; ++spins) pause();
    if (round_.load() == seen) {
      std::unique_lock lock(mutex_);
      asleep_.fetch_add(1);
      wake_.wait(lock, [&] { return round_.load() != seen; });
      asleep_.fetch_sub(1);
    }
    seen = round_.load();
    if (stopping_.load()) return;
    entry_(context_, member);
    remaining_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace entrofleet
