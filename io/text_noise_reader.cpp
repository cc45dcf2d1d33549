// Noise as text: N, then N x 100 numbers, separated by any white space.
//
// The file comes in blocks of whole words. A block is cut, again between words, into one piece a thread; each thread
// parses its piece into values of its own, and take() hands the values out in the file's order.
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/checked.h"
#include "common/wording.h"
#include "io/kinds.h"
#include "io/parallel.h"
#include "io/text_blocks.h"
#include "io/text_number.h"
#include "network.h"

namespace {

constexpr std::size_t kPieceBytes = 512 * 1024;    // text a thread parses at a time
constexpr std::ptrdiff_t kLeastPiece = 64 * 1024;  // and what is worth a thread
constexpr int kMostThreads = 32;                   // bounds the memory: about 1.5 MiB a thread
constexpr std::ptrdiff_t kLongestWord = 4096;      // the longest float, written out in full, has 151 digits

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

void parse_piece(Piece* piece) {
  piece->values.resize((piece->last - piece->first + 1) / 2);  // a number takes two bytes with its separator
  for (const char* word = skip_space(piece->first, piece->last); word < piece->last;) {
    const ParsedNumber number = parse_number(word, piece->last);
    const bool too_long = number.end - word > kLongestWord;
    if (number.error != nullptr || too_long) {
      piece->bad = word;
      piece->error = too_long ? "is longer than any number" : number.error;
      return;
    }
    piece->values[piece->count++] = number.value;
    word = skip_space(number.end, piece->last);
  }
}

class TextNoiseReader : public NoiseReader {
 public:
  TextNoiseReader(const std::string& path, int threads)
      : blocks_(path, static_cast<std::size_t>(threads) * kPieceBytes), threads_(threads) {
    const char* rest = read_count();
    parse(rest);
    // A file too small for its N is refused now, before anybody makes room for N faces.
    const std::int64_t most_numbers = (blocks_.end() - rest + blocks_.bytes_left() + 1) / 2;
    if (blocks_.file().regular() && most_numbers < faces_ * net::kNoise) take(faces_ * net::kNoise, nullptr);
  }

  std::int64_t faces() const override { return faces_; }

  void read(std::int64_t n, float* noise) override { take(n * net::kNoise, noise); }

  bool surplus() override {
    for (const Piece& piece : pieces_) {
      if (piece.taken < piece.count || piece.bad != nullptr) return true;
    }
    // Whoever feeds a pipe may keep it open: only what is there counts.
    while (blocks_.ready() && blocks_.next()) {
      if (skip_space(blocks_.begin(), blocks_.end()) < blocks_.end()) return true;
    }
    return false;
  }

 private:
  const char* read_count();
  void parse(const char* first);
  void take(std::int64_t count, float* to);
  Failure refuse(const char* word, const std::string& why) const;

  TextBlocks blocks_;
  const int threads_;
  std::int64_t faces_ = 0;
  std::vector<Piece> pieces_;  // of the present block, in order
  std::int64_t taken_ = 0;     // numbers handed out so far
};

// Reads N -> where the numbers start in the first block.
const char* TextNoiseReader::read_count() {
  const char* word = nullptr;
  do {
    if (!blocks_.next()) {
      throw Failure(kBadInput, blocks_.file().name() + " is empty; noise starts with the number of faces N.");
    }
    word = skip_space(blocks_.begin(), blocks_.end());
  } while (word == blocks_.end());

  const char* const end = skip_word(word, blocks_.end());
  const std::from_chars_result result = std::from_chars(skip_plus(word, end), end, faces_);
  if (result.ec == std::errc::invalid_argument || result.ptr != end) {
    throw refuse(word, "is no whole number; noise starts with the number of faces N");
  }
  if (*word == '-') throw refuse(word, "is negative; noise starts with the number of faces N");
  if (result.ec == std::errc::result_out_of_range || faces_ > kMostFaces) {
    throw refuse(word, "faces are too many; a run makes at most " + grouped(kMostFaces));
  }
  return end;
}

// Parses the present block from `first` on.
void TextNoiseReader::parse(const char* first) {
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
  run_parallel(threads_, pieces, [&](int, std::int64_t i) { parse_piece(&pieces_[static_cast<std::size_t>(i)]); });
}

// Hands out the next `count` numbers, or throws them away where `to` is nullptr.
void TextNoiseReader::take(std::int64_t count, float* to) {
  const std::int64_t wanted = taken_ + count;
  for (;;) {
    for (Piece& piece : pieces_) {
      const std::size_t now =
          static_cast<std::size_t>(std::min<std::int64_t>(wanted - taken_, piece.count - piece.taken));
      if (to != nullptr && now > 0) {
        std::memcpy(to, &piece.values[piece.taken], now * sizeof(float));
        to += now;
      }
      piece.taken += now;
      taken_ += static_cast<std::int64_t>(now);
      if (taken_ == wanted) return;
      if (piece.bad != nullptr) throw refuse(piece.bad, std::string(piece.error) + "; noise must be finite numbers");
    }
    if (!blocks_.next()) break;
    parse(blocks_.begin());
  }
  throw Failure(kBadInput, blocks_.file().name() + " ends early: N = " + grouped(faces_) + " faces need " +
                               grouped(faces_ * net::kNoise) + " numbers, and it holds " + grouped(taken_) + ".");
}

Failure TextNoiseReader::refuse(const char* word, const std::string& why) const {
  const std::string_view text(word, static_cast<std::size_t>(skip_word(word, blocks_.end()) - word));
  return Failure(kBadInput,
                 blocks_.file().name() + ", " + blocks_.place(word) + ": " + quoted_word(text) + " " + why + ".");
}

}  // namespace

std::unique_ptr<NoiseReader> open_text_noise(const std::string& path, int threads) {
  return std::make_unique<TextNoiseReader>(path, std::clamp(threads, 1, kMostThreads));
}
