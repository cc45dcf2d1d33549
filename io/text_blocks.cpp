#include "io/text_blocks.h"

#include <algorithm>
#include <cstring>

#include "common/wording.h"
#include "io/text_number.h"

namespace {

constexpr std::size_t kLongestWord = std::size_t{16} << 20;

struct Place {
  std::int64_t line, column;  // counted from 1
};

// Where a text ends that starts at `start`.
Place advance(Place start, const char* first, const char* last) {
  const std::int64_t lines = std::count(first, last, '\n');
  if (lines == 0) return {start.line, start.column + (last - first)};
  const char* line_start = last;
  while (line_start[-1] != '\n') --line_start;
  return {start.line + lines, last - line_start + 1};
}

}  // namespace

TextBlocks::TextBlocks(const std::string& path, std::size_t block_bytes) : file_(path) {
  const std::size_t left = static_cast<std::size_t>(std::max<std::int64_t>(file_.bytes_left(), 1));
  text_.resize(file_.regular() ? std::min(left, block_bytes) : block_bytes);  // a small file needs no more than itself
}

bool TextBlocks::next() {
  const Place start = advance({line_, column_}, begin(), end());
  line_ = start.line;
  column_ = start.column;

  std::memmove(text_.data(), text_.data() + block_, held_ - block_);
  held_ -= block_;
  block_ = 0;
  while (block_ == 0 && !at_end_) {
    if (held_ >= kLongestWord) {
      throw Failure(kBadInput, file_.name() + ", " + place(begin()) + ": " + quoted_word({begin(), held_}) +
                                   " is longer than any number.");
    }
    if (held_ == text_.size()) text_.resize(2 * held_);
    char* const added = text_.data() + held_;
    const std::size_t space = text_.size() - held_;
    const std::size_t got = file_.regular() ? file_.read(added, space) : file_.read_some(added, space);
    held_ += got;
    at_end_ = got == 0;
    const char* last_space = added + got;
    while (last_space > added && !is_space(last_space[-1])) --last_space;
    if (last_space > added) block_ = static_cast<std::size_t>(last_space - text_.data());
  }
  if (block_ == 0) block_ = held_;  // the file's last word
  return block_ > 0;
}

bool TextBlocks::ready() const { return file_.regular() || at_end_ || file_.ready(); }

std::int64_t TextBlocks::bytes_left() const { return file_.bytes_left() + static_cast<std::int64_t>(held_ - block_); }

std::string TextBlocks::place(const char* word) const {
  const Place place = advance({line_, column_}, begin(), word);
  return "line " + std::to_string(place.line) + ", column " + std::to_string(place.column);
}
