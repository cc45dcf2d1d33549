// Files in: the network and the noise. Everything that is wrong with them is a Failure (kBadInput) whose
// sentence names the file and the place.
#ifndef FACEGEN_IO_READERS_H_
#define FACEGEN_IO_READERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// Reads network.bin: net::kNetworkFloats floats, all finite, and no variance below 0.
std::vector<float> read_network(const std::string& path);

class RowReader;

// Reads noise batch by batch. The kind goes by the file's ending: .npy, else text; "-" is standard input (text).
class NoiseReader {
 public:
  // Opens the file and reads how many faces it asks for. threads: how many may parse at a time (>= 1).
  NoiseReader(const std::string& path, int threads);
  ~NoiseReader();

  std::int64_t faces() const;  // in [0, kMostFaces]

  // The next n faces' noise -> noise (n, 100). Throws where the file ends early, or a value is no finite number.
  void read(std::int64_t n, float* noise);

  // True where the file holds more numbers than its N faces need (the driver warns). Call after the last read.
  bool surplus();

 private:
  std::int64_t take(std::int64_t count, float* to);

  const std::unique_ptr<RowReader> rows_;
  std::int64_t taken_ = 0;  // numbers
};

#endif  // FACEGEN_IO_READERS_H_
