// The literals of groups with a codebook (window_format.h): writing them, and reading them one by
// one. Those of windows are symbols that follow each other.

// A tuple in two bytes.
struct TupleBytes {
  uint8_t first;
  uint8_t second;
};

class LiteralReader {
 public:
  LiteralReader() = default;
  explicit LiteralReader(const WindowGroup& group)
      : far_(&group.codebook->far),
        next_(group.outside),
        end_(group.outside + group.exception_count),
        written_(end_) {}

  // At most as often as the group has literals.
  TupleBytes next() {
    if (block_left_ == 0) open_block();
    --block_left_;
    const uint8_t literal = *next_++;
    if (literal != Codebook::kFarEscape) return {far_->first[literal], far_->second[literal]};
    const TupleBytes tuple = {*written_, written_[written_count_]};
    if (++taken_ == written_count_) {
      written_ += written_count_;
      written_count_ = 0;
    }
    ++written_;
    return tuple;
  }

 private:
  void open_block() {
    const size_t left = static_cast<size_t>(end_ - next_);
    block_left_ = left < kLiteralBlock ? left : kLiteralBlock;
    taken_ = 0;
    written_count_ = 0;
    for (size_t i = 0; i < block_left_; ++i) written_count_ += next_[i] == Codebook::kFarEscape;
  }

  const Codebook::Table* far_ = nullptr;
  const uint8_t* next_ = nullptr;
  const uint8_t* end_ = nullptr;
  const uint8_t* written_ = nullptr;
  size_t block_left_ = 0;
  // Tuples written for the block, and those of them that were taken.
  size_t written_count_ = 0;
  size_t taken_ = 0;
};

class LiteralWriter {
 public:
  // Until all literals are there, what is written is kept apart in the room's second half.
  LiteralWriter(uint8_t* to, size_t room)
      : literals_(to), half_(room / 2), written_(to + half_) {}

  // False when there is no room.
  bool add(uint8_t literal, TupleBytes tuple) {
    if (count_ == half_ || count_ == kMostLiterals) return false;
    literals_[count_++] = literal;
    if (literal == Codebook::kFarEscape) {
      first_[in_block_] = tuple.first;
      second_[in_block_++] = tuple.second;
    }
    return count_ % kLiteralBlock != 0 || end_block();
  }

  bool finish() {
    if (!end_block()) return false;
    __builtin_memmove(literals_ + count_, written_, written_bytes_);
    return true;
  }

  size_t count() const { return count_; }
  size_t bytes() const { return count_ + written_bytes_; }

 private:
  bool end_block() {
    if (2 * in_block_ > half_ - written_bytes_) return false;
    for (const uint8_t* const bytes : {first_, second_}) {
      __builtin_memcpy(written_ + written_bytes_, bytes, in_block_);
      written_bytes_ += in_block_;
    }
    in_block_ = 0;
    return true;
  }

  uint8_t* literals_;
  size_t half_;
  uint8_t* written_;
  size_t count_ = 0;
  size_t written_bytes_ = 0;
  size_t in_block_ = 0;
  uint8_t first_[kLiteralBlock];
  uint8_t second_[kLiteralBlock];
};
