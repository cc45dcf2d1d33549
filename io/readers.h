// Files in: the network and the noise (SPEC 2). Everything that is wrong with them is a Failure (kBadInput) whose
// sentence names the file and the place.
#ifndef FACEGEN_IO_READERS_H_
#define FACEGEN_IO_READERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// Reads network.bin: net::kNetworkFloats floats, all finite.
std::vector<float> read_network(const std::string& path);

// Reads noise batch by batch. The kind goes by the file's ending: .npy, else text; "-" is standard input (text).
class NoiseReader {
 public:
  // Opens the file and reads how many faces it asks for. threads: how many may parse at a time (>= 1).
  static std::unique_ptr<NoiseReader> open(const std::string& path, int threads);
  virtual ~NoiseReader() = default;

  virtual std::int64_t faces() const = 0;

  // The next n faces' noise -> noise (n, 100). Throws where the file ends early, or a value is no finite number.
  virtual void read(std::int64_t n, float* noise) = 0;

  // True where the file holds more numbers than its N faces need (the driver warns). Call after the last read.
  virtual bool surplus() = 0;
};

#endif  // FACEGEN_IO_READERS_H_
