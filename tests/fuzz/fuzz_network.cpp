// network.bin with a few floats overwritten and an end of another length, against a search for the first bad float.
// An input is 2 bytes for the length, then 8 for each float: where and what.
#include <cstring>

#include "common/failure.h"
#include "io/readers.h"
#include "network.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static MemoryFile file;
  file.resize(net::kNetworkBytes);
  std::vector<std::size_t> places;
  std::int16_t longer = 0;
  if (size >= 2) std::memcpy(&longer, data, 2);
  for (std::size_t i = 2; i + 8 <= size && places.size() < 4; i += 8) {
    std::uint32_t place;
    std::memcpy(&place, data + i, 4);
    places.push_back(place % net::kNetworkFloats);
    file.write_at(places.back() * sizeof(float), {reinterpret_cast<const char*>(data) + i + 4, 4});
  }
  file.resize(static_cast<std::size_t>(static_cast<std::int64_t>(net::kNetworkBytes) + longer));

  std::string sentence;
  std::vector<float> network;
  try {
    network = read_network(file.path());
  } catch (const Failure& failure) {
    sentence = failure.what();
  }
  if (longer != 0) {
    require(sentence.find("has exactly 20,549,132 bytes") != std::string::npos, "a wrong size: " + sentence);
  } else {
    bool good = true;
    for (std::size_t i = 2; i + 8 <= size && i < 34; i += 8) {
      const std::size_t place = places[(i - 2) / 8];
      float value = 0;
      for (std::size_t j = i; j + 8 <= size && j < 34; j += 8) {  // the last one written there counts
        if (places[(j - 2) / 8] == place) std::memcpy(&value, data + j + 4, 4);
      }
      bool variance = false;
      for (const net::Layer& l : net::kTable.layer) {
        variance = variance || (l.batch_norm && place >= l.var && place < l.var + l.K);
      }
      good = good && std::isfinite(value) && !(variance && value < 0);
      require(sentence.size() > 0 || same_float(network[place], value), "a value");
    }
    require(good == sentence.empty(), "whether it is refused: " + sentence);
  }
  file.resize(net::kNetworkBytes);
  for (const std::size_t place : places) file.write_at(place * sizeof(float), {"\0\0\0\0", 4});
  return 0;
}
