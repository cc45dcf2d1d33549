// .npy: an array that is taken is the same one when its header is written anew; a header that is refused gets a sentence.
// tests/test_npy.py holds headers against numpy.load.
#include "common/failure.h"
#include "io/npy.h"
#include "io/row_reader.h"
#include "tests/fuzz/fuzz.h"

namespace {

struct Result {
  std::int64_t rows = -1;  // refused
  std::vector<float> values;
  bool surplus = false;
};

Result read(std::string_view bytes) {
  Result result;
  try {
    static MemoryFile file;
    file.assign(bytes);
    const std::unique_ptr<RowReader> reader = open_npy_rows(file.path(), {"array", {2, 3}, false});
    std::vector<float> values(1000);
    const std::int64_t wanted = std::min<std::int64_t>(reader->rows() * 6, 1000);
    values.resize(static_cast<std::size_t>(reader->read(wanted, values.data())));
    result = {reader->rows(), values, reader->surplus()};
  } catch (const Failure& failure) {
    require(failure.status() == kBadInput && failure.what()[0] == '\'', failure.what());
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result first = read(bytes);
  if (first.rows < 0) return 0;
  const std::size_t length = data[6] == 1 ? 10 : 12;
  const std::size_t header = length + (data[8] | std::size_t{data[9]} << 8);  // at most 10,000 bytes
  const Result again = read(make_npy_header({first.rows, 2, 3}).append(bytes.substr(header)));
  require(first.rows == again.rows && first.surplus == again.surplus, "the same array");
  require(first.values.size() == again.values.size() &&
              std::equal(first.values.begin(), first.values.end(), again.values.begin(), same_float),
          "the same values");
  return 0;
}
