// Where products fetch memory before they read it: always the same distance ahead, from a group's
// end on to the next group's begin, which need not lie behind it.

class ReadAhead {
 public:
  // For products from group `begin` of a matrix on.
  ReadAhead(const WindowView& weights, size_t begin, size_t distance)
      : columns_(weights.columns),
        next_(weights.groups + begin),
        end_(weights.groups + window_groups(weights.rows)) {
    enter();
    while (next_ != end_ && distance >= left_) {
      distance -= left_;
      enter();
    }
    skip(distance < left_ ? distance : 0);
  }

  const uint8_t* at() const { return at_; }

  // To what is to be fetched next. Behind the last group it stays where it is.
  void advance(size_t bytes) {
    if (bytes < left_) {
      skip(bytes);
    } else if (next_ != end_) {
      enter();
    }
  }

 private:
  void enter() {
    at_ = next_->outside;
    left_ = static_cast<size_t>(next_->tiles - at_) +
            group_tiles(*next_, columns_) * group_tile_bytes(*next_);
    ++next_;
  }

  void skip(size_t bytes) {
    at_ += bytes;
    left_ -= bytes;
  }

  size_t columns_;
  const WindowGroup* next_;
  const WindowGroup* end_;
  const uint8_t* at_ = nullptr;
  size_t left_ = 0;
};
