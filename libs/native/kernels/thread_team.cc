#include "kernels/thread_team.h"

#include <memory>

namespace entrofleet {
namespace {

constexpr int kSpins = 4000;

// Layout of the gate: round number << 32 | open << 31 | workers inside.
constexpr uint64_t kOpen = uint64_t{1} << 31;
constexpr uint64_t kInside = kOpen - 1;
constexpr uint64_t kRound = uint64_t{1} << 32;

uint64_t round_of(uint64_t gate) { return gate / kRound; }

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Condition>
void wait_until(const Condition& condition) {
  for (int spins = 0; !condition(); ++spins) {
    if (spins < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

std::vector<int> usable_processors() {
  cpu_set_t set;
  std::vector<int> processors;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return processors;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &set)) processors.push_back(processor);
  }
  return processors;
}

bool pin_caller(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

}  // namespace

ThreadTeam::ThreadTeam(int size, Pinning pinning) : size_(size < 1 ? 1 : size) {
  if (pinning == Pinning::kEach) processors_ = usable_processors();
  runs_ = std::make_unique<Run[]>(static_cast<size_t>(size_));
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
    gate_.fetch_add(kRound);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

// No worker is inside a round, so nobody takes items meanwhile.
void ThreadTeam::deal(size_t items) {
  const size_t members = static_cast<size_t>(size_);
  for (size_t member = 0; member < members; ++member) {
    runs_[member].next.store(items * member / members, std::memory_order_relaxed);
    runs_[member].end = items * (member + 1) / members;
  }
}

void ThreadTeam::start(Entry entry, const void* context, Attendance attendance) {
  if (size_ == 1) {
    entry(context, 0);
    return;
  }
  // No worker is inside between rounds, so nobody reads these while they change.
  entry_ = entry;
  context_ = context;
  absent_.store(size_ - 1, std::memory_order_relaxed);
  // Sequentially consistent with the sleeper's asleep_ increment: either we see it asleep and
  // notify under the lock, or it sees the new round before it waits.
  gate_.store((round_of(gate_.load(std::memory_order_relaxed)) + 1) * kRound | kOpen);
  if (asleep_.load() > 0) {
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  entry(context, 0);
  if (attendance == Attendance::kEveryone) {
    wait_until([&] { return absent_.load(std::memory_order_acquire) == 0; });
  }
  // From here on nobody joins. The context lives in the caller's frame, so those who are inside
  // must leave before it ends.
  gate_.fetch_and(~kOpen);
  wait_until([&] { return (gate_.load(std::memory_order_acquire) & kInside) == 0; });
}

// Waits for a round after `seen`, sets it, and enters the round if it is still open.
bool ThreadTeam::join(uint64_t& seen) {
  for (int spins = 0; round_of(gate_.load()) == seen && spins < kSpins; ++spins) pause();
  if (round_of(gate_.load()) == seen) {
    std::unique_lock lock(mutex_);
    asleep_.fetch_add(1);
    wake_.wait(lock, [&] { return round_of(gate_.load()) != seen; });
    asleep_.fetch_sub(1);
  }
  uint64_t gate = gate_.load();
  while ((gate & kOpen) != 0 && round_of(gate) != seen) {
    if (gate_.compare_exchange_weak(gate, gate + 1)) {
      seen = round_of(gate);
      return true;
    }
  }
  seen = round_of(gate);
  return false;
}

void ThreadTeam::serve(int member) {
  if (!processors_.empty()) {
    pin_caller(processors_[static_cast<size_t>(member) % processors_.size()]);
  }
  uint64_t seen = 0;
  for (;;) {
    const bool inside = join(seen);
    if (stopping_.load()) return;
    if (!inside) continue;
    entry_(context_, member);
    absent_.fetch_sub(1, std::memory_order_release);
    gate_.fetch_sub(1, std::memory_order_release);
  }
}

CallerPin::CallerPin(const ThreadTeam& team) {
  if (team.processors_.empty()) return;
  if (sched_getaffinity(0, sizeof(before_), &before_) != 0) return;
  bound_ = pin_caller(team.processors_.front());
}

CallerPin::~CallerPin() {
  if (bound_) sched_setaffinity(0, sizeof(before_), &before_);
}

ThreadTeam& kept_team(int size) {
  if (size <= 1) {
    thread_local ThreadTeam alone(1);
    return alone;
  }
  thread_local std::unique_ptr<ThreadTeam> team;
  if (team == nullptr || team->size() != size) {
    team.reset();
    team = std::make_unique<ThreadTeam>(size);
  }
  return *team;
}

}  // namespace entrofleet
