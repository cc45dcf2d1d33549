// The peer of `make bench`: a driver that reads and writes as the course's does (fscanf and fprintf a value at a time,
// the whole picture in memory), in front of the same facegen(). What differs from main.cpp is the files, and nothing
// else.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench/bench.h"
#include "facegen.h"
#include "network.h"
#include "run/ranks.h"

namespace {

std::FILE* open_or_die(const char* path, const char* mode) {
  std::FILE* file = std::fopen(path, mode);
  if (!file) throw Failure(kBadInput, "cannot open '" + std::string(path) + "'");
  return file;
}

void run(char** argv) {
  std::vector<float> network(net::kNetworkFloats);
  std::FILE* file = open_or_die(argv[1], "rb");
  if (std::fread(network.data(), sizeof(float), network.size(), file) != network.size()) {
    throw Failure(kBadInput, "short network");
  }
  std::fclose(file);

  int n = 0;
  file = open_or_die(argv[2], "r");
  if (std::fscanf(file, "%d", &n) != 1 || n < 0) throw Failure(kBadInput, "no number of faces");
  std::vector<float> noise(std::size_t(n) * net::kNoise);
  for (float& value : noise) {
    if (std::fscanf(file, "%f", &value) != 1) throw Failure(kBadInput, "short noise");
  }
  std::fclose(file);

  std::vector<float> faces(std::size_t(n) * net::kFaceFloats);
  facegen_init();
  std::printf("Elapsed time : %.6f sec\n", seconds_of([&] { facegen(n, network.data(), noise.data(), faces.data()); }));

  file = open_or_die(argv[3], "w");
  std::fprintf(file, "%d\n", n);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < net::kFaceFloats; ++j)
      std::fprintf(file, "%.4f ", faces[std::size_t(i) * net::kFaceFloats + j]);
    std::fprintf(file, "\n");
  }
  std::fclose(file);

  const int side = int(std::ceil(std::sqrt(double(n))));
  std::vector<unsigned char> sheet(std::size_t(side) * side * net::kFaceFloats);
  for (int i = 0; i < n; ++i) {
    for (int h = 0; h < net::kFaceH; ++h) {
      for (int w = 0; w < net::kFaceW; ++w) {
        const float* value = &faces[((std::size_t(i) * net::kFaceH + h) * net::kFaceW + w) * net::kFaceC];
        const std::size_t row = std::size_t(side) * net::kFaceH - 1 - (std::size_t(i / side) * net::kFaceH + h);
        const std::size_t column = std::size_t(i % side) * net::kFaceW + w;
        for (int c = 0; c < net::kFaceC; ++c) {
          sheet[(row * side * net::kFaceW + column) * net::kFaceC + c] = (unsigned char)((value[2 - c] + 1) / 2 * 255);
        }
      }
    }
  }
  file = open_or_die(argv[4], "wb");
  const unsigned bytes = unsigned(sheet.size()), pixels = unsigned(side * net::kFaceW), offset = 54, info = 40,
                 zero = 0;
  const unsigned size = bytes + offset;
  const unsigned short planes_and_bits[] = {1, 24};
  std::fwrite("BM", 1, 2, file);
  for (const unsigned field : {size, zero, offset, info, pixels, pixels}) std::fwrite(&field, 4, 1, file);
  std::fwrite(planes_and_bits, 2, 2, file);
  for (const unsigned field : {zero, bytes, zero, zero, zero, zero}) std::fwrite(&field, 4, 1, file);
  std::fwrite(sheet.data(), 1, sheet.size(), file);
  std::fclose(file);
  facegen_fin();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: course_like_driver <network> <noise> <output data> <output image>\n");
    return kUsage;
  }
  return guarded_main("course_like_driver", [&] {
    ranks_start(&argc, &argv);
    run(argv);
    ranks_finish();
    return kDone;
  });
}
