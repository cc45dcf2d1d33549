// The text reader against words, for any number of threads and batches; blocks of every size against the text itself.
#include "common/checked.h"
#include "common/failure.h"
#include "io/row_reader.h"
#include "io/text_blocks.h"
#include "io/text_number.h"
#include "tests/fuzz/fuzz.h"

namespace {

constexpr std::int64_t kRow = 3;

void check_blocks(const MemoryFile& file, std::string_view text, std::size_t block_bytes) {
  TextBlocks blocks(file.path(), block_bytes);
  std::string joined;
  while (blocks.next()) {
    const bool between = joined.empty() || is_space(joined.back()) || is_space(*blocks.begin());
    require(between, "a block begins between two words");
    joined.append(blocks.begin(), blocks.end());
  }
  require(joined == text, "blocks are the whole text");
}

// "line 3, column 14" of a word.
std::string place(std::string_view text, std::string_view word) {
  std::int64_t line = 1, column = 1;
  for (const char* at = text.data(); at < word.data(); ++at) {
    column = *at == '\n' ? 1 : column + 1;
    line += *at == '\n';
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column) + ": ";
}

void check_reader(const MemoryFile& file, std::string_view text, int threads, std::int64_t batch, bool finite) {
  const std::vector<std::string_view> words = words_of(text);
  std::string_view bad;  // the first word that is refused
  std::vector<float> expected;
  const std::optional<std::int64_t> rows = words.empty() ? std::nullopt : reference_count(words[0]);
  if (!words.empty() && (!rows || *rows > kMostFaces)) bad = words[0];
  for (std::size_t i = 1; bad.empty() && i < words.size(); ++i) {
    const std::optional<float> value = reference_number(words[i]);
    if (!value || (finite && !std::isfinite(*value))) {
      bad = words[i];
    } else {
      expected.push_back(*value);
    }
  }

  std::vector<float> got;
  std::string sentence;
  bool surplus = false;
  try {
    const std::unique_ptr<RowReader> reader = open_text_rows(file.path(), {"text", {kRow}, finite}, threads);
    require(reader->rows() == *rows, "N");
    std::vector<float> values(static_cast<std::size_t>(batch));
    for (std::int64_t wanted = *rows * kRow, now = 1; wanted > 0 && now > 0; wanted -= now) {
      const std::int64_t left = reader->most_left();
      now = reader->read(std::min(wanted, batch), values.data());
      require(now <= left, "no more come than can be left");
      got.insert(got.end(), values.begin(), values.begin() + now);
    }
    surplus = reader->surplus();
  } catch (const Failure& failure) {
    sentence = failure.what();
  }

  if (words.empty()) return require(sentence.find("is empty") != std::string::npos, "an empty file");
  const std::size_t all = rows && *rows <= kMostFaces ? static_cast<std::size_t>(*rows * kRow) : 0;
  const bool reached = !bad.empty() && (bad.data() == words[0].data() || expected.size() < all);
  require(sentence.empty() != reached, "whether it fails: " + sentence);
  require(!reached || sentence.find(place(text, bad)) != std::string::npos, "the place of a bad word: " + sentence);
  expected.resize(std::min(expected.size(), all));
  require(got.size() == expected.size() && std::equal(got.begin(), got.end(), expected.begin(), same_float), "values");
  require(reached || surplus == (words.size() - 1 > all), "surplus");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  static MemoryFile file;
  file.assign(text);
  check_blocks(file, text, data[1] % 32 + 1);
  check_reader(file, text, data[0] % 4 + 1, data[1] % 8 + 1, data[0] & 0x80);
  return 0;
}
