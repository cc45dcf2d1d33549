// A text file in blocks that begin and end between two words, so that several threads can parse it.
#ifndef FACEGEN_IO_TEXT_BLOCKS_H_
#define FACEGEN_IO_TEXT_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/input_file.h"

class TextBlocks {
 public:
  // Blocks have up to block_bytes, more where a word is longer; a word of 16 MiB is refused.
  TextBlocks(const std::string& path, std::size_t block_bytes);

  // Loads the next block in place of the one before it; false at the end of the file. Of a pipe a block is what is
  // there.
  bool next();
  bool ready() const;  // whether next() would return at once

  const char* begin() const { return text_.data(); }
  const char* end() const { return text_.data() + block_; }

  const InputFile& file() const { return file_; }
  std::int64_t bytes_left() const;            // behind this block, where file().regular()
  std::string place(const char* word) const;  // "line 3, column 14" of a place in this block, counted from 1

 private:
  InputFile file_;
  std::vector<char> text_;
  std::size_t block_ = 0;  // text_[0, block_) is the block,
  std::size_t held_ = 0;   // text_[block_, held_) the start of a word that goes on in the next one
  bool at_end_ = false;
  std::int64_t line_ = 1;  // where the block starts in the file
  std::int64_t column_ = 1;
};

#endif  // FACEGEN_IO_TEXT_BLOCKS_H_
