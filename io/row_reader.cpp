#include "io/row_reader.h"

#include "io/ending.h"

std::int64_t RowKind::floats() const {
  std::int64_t product = 1;
  for (const std::int64_t side : row) product *= side;
  return product;
}

std::unique_ptr<RowReader> RowReader::open(const std::string& path, const RowKind& kind, int threads) {
  if (has_ending(path, ".npy")) return open_npy_rows(path, kind);
  return open_text_rows(path, kind, threads);
}
