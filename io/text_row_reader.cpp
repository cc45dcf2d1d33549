// Rows as text: N, then N x row numbers, separated by any white space.
//
// The file comes in blocks of whole words. A block is cut, again between words, into one piece a thread; each thread
// parses its piece into values of its own, and read() hands the values out in the file's order.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/checked.h"
#include "common/wording.h"
#include "io/parallel.h"
#include "io/row_reader.h"
#include "io/text_blocks.h"
#include "io/text_number.h"

namespace {

constexpr std::size_t kPieceBytes = 512 * 1024;    // text a thread parses at a time
constexpr std::ptrdiff_t kLeastPiece = 64 * 1024;  // and what is worth a thread
constexpr int kMostThreads = 32;                   // bounds the memory: about 1.5 MiB a thread

// A part of a block, and the numbers in it.
struct Piece {
  const char* first = nullptr;
  const char* last = nullptr;
  std::vector<float> values;
  std::size_t count = 0;        // values parsed,
  std::size_t taken = 0;        // and handed out
  const char* bad = nullptr;    // the word that ended the parsing,
  const char* error = nullptr;  // and why
};

void parse_piece(bool finite, Piece* piece) {
  piece->values.resize((piece->last - piece->first + 1) / 2);  // a number takes two bytes with its separator
  for (const char* word = skip_space(piece->first, piece->last); word < piece->last;) {
    const ParsedNumber number = parse_number(word, piece->last);
    if (number.error != nullptr && (finite || std::isfinite(number.value))) {
      piece->bad = word;
      piece->error = number.error;
      return;
    }
    piece->values[piece->count++] = number.value;
    word = skip_space(number.end, piece->last);
  }
}

class TextRowReader : public RowReader {
 public:
  TextRowReader(const std::string& path, const RowKind& kind, int threads)
      : blocks_(path, static_cast<std::size_t>(threads) * kPieceBytes), kind_(kind), threads_(threads) {
    parse(read_count());
  }

  const std::string& name() const override { return blocks_.file().name(); }
  std::int64_t rows() const override { return rows_; }
  std::int64_t read(std::int64_t count, float* to) override;
  std::int64_t most_left() const override;
  bool surplus() override;

 private:
  const char* read_count();
  void parse(const char* first);
  Failure refuse(const char* word, const std::string& why) const;

  TextBlocks blocks_;
  const RowKind kind_;
  const int threads_;
  std::int64_t rows_ = 0;
  std::vector<Piece> pieces_;  // of the present block, in order
};

// Reads N -> where the numbers start in the first block.
const char* TextRowReader::read_count() {
  const std::string start = std::string("; ") + kind_.noun + " starts with the number of faces N";
  const char* word = nullptr;
  do {
    if (!blocks_.next()) throw Failure(kBadInput, name() + " is empty" + start + ".");
    word = skip_space(blocks_.begin(), blocks_.end());
  } while (word == blocks_.end());

  const ParsedCount count = parse_count(word, blocks_.end());
  if (count.error != nullptr) throw refuse(word, count.error + start);
  if (count.value > kMostFaces) throw refuse(word, "faces are too many; a run makes at most " + grouped(kMostFaces));
  rows_ = count.value;
  return count.end;
}

// Parses the present block from `first` on.
void TextRowReader::parse(const char* first) {
  const std::ptrdiff_t bytes = blocks_.end() - first;
  const std::int64_t pieces = std::clamp<std::int64_t>(bytes / kLeastPiece, 1, threads_);
  pieces_.resize(static_cast<std::size_t>(pieces));
  const char* start = first;
  for (std::int64_t i = 0; i < pieces; ++i) {
    Piece& piece = pieces_[static_cast<std::size_t>(i)];
    piece.first = start;
    piece.last = std::max(start, skip_word(first + bytes * (i + 1) / pieces, blocks_.end()));
    piece.count = piece.taken = 0;
    piece.bad = nullptr;
    start = piece.last;
  }
  run_parallel(threads_, pieces,
               [&](int, std::int64_t i) { parse_piece(kind_.finite, &pieces_[static_cast<std::size_t>(i)]); });
}

std::int64_t TextRowReader::read(std::int64_t count, float* to) {
  std::int64_t done = 0;
  for (;;) {
    for (Piece& piece : pieces_) {
      const std::size_t now = std::min(static_cast<std::size_t>(count - done), piece.count - piece.taken);
      std::copy_n(piece.values.begin() + static_cast<std::ptrdiff_t>(piece.taken), now, to + done);
      piece.taken += now;
      done += static_cast<std::int64_t>(now);
      if (done == count) return done;
      if (piece.bad == nullptr) continue;
      if (done > 0) return done;
      throw refuse(piece.bad, std::string(piece.error) + (kind_.finite ? "; every value must be a finite number" : ""));
    }
    if (!blocks_.next()) return done;
    parse(blocks_.begin());
  }
}

std::int64_t TextRowReader::most_left() const {
  if (!blocks_.file().regular()) return std::numeric_limits<std::int64_t>::max();
  std::int64_t parsed = 0;
  for (const Piece& piece : pieces_) {
    parsed += static_cast<std::int64_t>(piece.count - piece.taken);
    if (piece.bad != nullptr) return parsed;
  }
  return parsed + (blocks_.bytes_left() + 1) / 2;
}

bool TextRowReader::surplus() {
  for (const Piece& piece : pieces_) {
    if (piece.taken < piece.count || piece.bad != nullptr) return true;
  }
  // Whoever feeds a pipe may keep it open: only what is there counts.
  while (blocks_.ready() && blocks_.next()) {
    if (skip_space(blocks_.begin(), blocks_.end()) < blocks_.end()) return true;
  }
  return false;
}

Failure TextRowReader::refuse(const char* word, const std::string& why) const {
  const std::string_view text(word, static_cast<std::size_t>(skip_word(word, blocks_.end()) - word));
  return Failure(kBadInput, name() + ", " + blocks_.place(word) + ": " + quoted_word(text) + " " + why + ".");
}

}  // namespace

std::unique_ptr<RowReader> open_text_rows(const std::string& path, const RowKind& kind, int threads) {
  return std::make_unique<TextRowReader>(path, kind, std::clamp(threads, 1, kMostThreads));
}
