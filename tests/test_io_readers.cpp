// The readers: what they read, and the sentence for everything that can be wrong with a file.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "io/readers.h"
#include "network.h"
#include "tests/io_support.h"

namespace {

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

std::vector<float> random_values(std::size_t n) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(n);
  for (float& value : values) value = uniform(random);
  return values;
}

// n numbers, each of which names its place: 0.000001, 0.000002, ...
std::string numbers(std::int64_t n, const char* separator = " ") {
  std::string text;
  for (std::int64_t i = 0; i < n; ++i) {
    char number[32];
    std::snprintf(number, sizeof number, "0.%06lld", static_cast<long long>(i + 1));
    text += number;
    text += separator;
  }
  return text;
}

std::vector<float> read_all(const std::string& path, int threads = 1, std::int64_t batch = 0) {
  NoiseReader reader(path, threads);
  std::vector<float> noise(static_cast<std::size_t>(reader.faces()) * net::kNoise);
  if (batch == 0) batch = std::max<std::int64_t>(reader.faces(), 1);
  for (std::int64_t done = 0; done < reader.faces(); done += batch) {
    reader.read(std::min(batch, reader.faces() - done), noise.data() + done * net::kNoise);
  }
  return noise;
}

bool surplus_after_all(const std::string& path) {
  NoiseReader reader(path, 2);
  std::vector<float> noise(static_cast<std::size_t>(reader.faces()) * net::kNoise);
  reader.read(reader.faces(), noise.data());
  return reader.surplus();
}

// A pipe's reading end as a path, fed by a thread.
class Feed {
 public:
  // keep_open: until the Feed ends, as somebody does who types.
  Feed(std::string bytes, bool keep_open = false) {
    EXPECT_EQ(::pipe(ends_), 0);
    thread_ = std::thread([this, bytes = std::move(bytes), keep_open] {
      EXPECT_EQ(::write(ends_[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
      if (!keep_open) close_writer();
    });
  }
  ~Feed() {
    thread_.join();
    close_writer();
    ::close(ends_[0]);
  }
  int fd() const { return ends_[0]; }
  std::string path() const { return "/dev/fd/" + std::to_string(ends_[0]); }

 private:
  void close_writer() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

  int ends_[2];
  std::thread thread_;
};

// A name for a pipe, for as long as it lasts.
class Link {
 public:
  Link(const std::string& name, const std::string& target) : name_(name) {
    EXPECT_EQ(::symlink(target.c_str(), name.c_str()), 0);
  }
  ~Link() { ::unlink(name_.c_str()); }

 private:
  const std::string name_;
};

// ---------------------------------------------------------------------------------------------------------------------
// The network

class ReadNetwork : public FileTest {
 protected:
  void refuse(const std::vector<std::string>& parts, const std::string& where) {
    expect_failure(kBadInput, parts, [&] { read_network(where); });
  }
  void refuse_value(std::size_t place, float value, const std::vector<std::string>& parts) {
    std::vector<float> network(net::kNetworkFloats, 0.25f);
    network[place] = value;
    refuse(parts, put("network.bin", bytes_of(network)));
  }
};

// Values of both signs, but for the variances.
std::vector<float> random_parameters() {
  std::vector<float> network = random_values(net::kNetworkFloats);
  for (const net::Layer& layer : net::kTable.layer) {
    for (std::size_t i = layer.var; layer.batch_norm && i < layer.var + layer.K; ++i)
      network[i] = std::fabs(network[i]);
  }
  return network;
}

TEST_F(ReadNetwork, GivesTheFloatsOfTheFile) {
  std::vector<float> network = random_parameters();
  network[net::kProj.var] = 0.0f;
  network[net::kTconv3.var + 1] = -0.0f;
  EXPECT_EQ(read_network(put("network.bin", bytes_of(network))), network);
}

TEST_F(ReadNetwork, ComesThroughAPipe) {
  const std::vector<float> network = random_parameters();
  const Feed feed(bytes_of(network));
  EXPECT_EQ(read_network(feed.path()), network);
}

TEST_F(ReadNetwork, RefusesFilesThatAreNone) {
  refuse({"'" + path("absent.bin") + "'", "does not exist"}, path("absent.bin"));
  refuse({"'" + folder_ + "'", "is a directory"}, folder_);
  refuse({"is empty", "20,549,132"}, put("empty.bin", ""));
}

TEST_F(ReadNetwork, RefusesUnreadable) {
  const std::string file = put("secret.bin", "x");
  ::chmod(file.c_str(), 0000);
  const NoPrivileges none;
  refuse({"'" + file + "'", "Permission denied"}, file);
}

TEST_F(ReadNetwork, RefusesWrongSizesWithBoth) {
  refuse({"has 20,549,128 bytes", "exactly 20,549,132 bytes (5,137,283 floats)"},
         put("short.bin", std::string(net::kNetworkBytes - 4, '\0')));
  refuse({"has 20,549,133 bytes", "20,549,132"}, put("long.bin", std::string(net::kNetworkBytes + 1, '\0')));
}

TEST_F(ReadNetwork, RefusesWrongSizesFromAPipe) {
  const Feed few(std::string(1000, '\0'));
  refuse({"has 1,000 bytes", "20,549,132"}, few.path());
  const Feed many(std::string(net::kNetworkBytes + 1, '\0'));
  refuse({"has more bytes", "20,549,132"}, many.path());
}

TEST_F(ReadNetwork, NamesTheParameterThatIsNotFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  refuse_value(0, nan, {"proj weight, index 0 ", "float 0 of the file", "is NaN"});
  refuse_value(net::kProj.bias + 8191, infinity, {"proj bias, index 8,191 ", "is infinite"});
  refuse_value(net::kProj.beta, -infinity, {"proj beta, channel 0 ", "is infinite"});
  refuse_value(net::kTconv1.gamma + 3, nan, {"tconv1 gamma, channel 3 "});
  refuse_value(net::kTconv2.weight + 12345, nan, {"tconv2 weight, index 12,345 ", "float 4,119,865 of the file"});
  refuse_value(net::kTconv2.mean + 127, nan, {"tconv2 mean, channel 127 "});
  refuse_value(net::kTconv3.var + 63, nan, {"tconv3 var, channel 63 "});
  refuse_value(net::kTconv4.weight, nan, {"tconv4 weight, index 0 "});
  refuse_value(net::kNetworkFloats - 1, nan,
               {"tconv4 bias, channel 2 ", "float 5,137,282 of the file", "byte 20,549,128"});
}

// As an exporter makes it that swaps mean and var. Means below 0 are legal.
TEST_F(ReadNetwork, RefusesAVarianceBelowZero) {
  refuse_value(
      net::kProj.var + 7, -0.25f,
      {"proj var, channel 7 (float 828,935 of the file, byte 3,315,740, counted from 0) is -0.25", "mean and var"});
  refuse_value(net::kTconv3.var + 63, -1e-45f, {"tconv3 var, channel 63 ", "is -1e-45"});
  std::vector<float> network(net::kNetworkFloats, 0.25f);
  network[net::kTconv1.mean] = network[net::kTconv2.gamma] = network[net::kTconv3.beta + 63] = -0.25f;
  EXPECT_EQ(read_network(put("network.bin", bytes_of(network))), network);
}

// ---------------------------------------------------------------------------------------------------------------------
// Noise as text

class ReadNoise : public FileTest {
 protected:
  // Opens and reads everything; expects that to fail with a sentence that holds these parts.
  void refuse(const std::string& text, const std::vector<std::string>& parts, int threads = 2) {
    const std::string file = put("noise.txt", text);
    expect_failure(kBadInput, parts, [&] { read_all(file, threads); });
  }
};

TEST_F(ReadNoise, GivesTheNumbersInOrder) {
  const std::vector<float> noise = read_all(put("noise.txt", "2\n" + numbers(100) + "\n" + numbers(100) + "\n"));
  ASSERT_EQ(noise.size(), 200u);
  for (std::size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(noise[i], std::strtof(("0.000" + std::to_string(i % 100 + 1001).substr(1)).c_str(), nullptr)) << i;
  }
}

TEST_F(ReadNoise, AnyWhiteSpaceSeparates) {
  const std::vector<float> expected = read_all(put("plain.txt", "1\n" + numbers(100)));
  EXPECT_EQ(read_all(put("dos.txt", "1\r\n" + numbers(100, "\r\n"))), expected);
  EXPECT_EQ(read_all(put("one_line.txt", "1 " + numbers(100))), expected);
  EXPECT_EQ(read_all(put("tabs.txt", "\n\n\t 1\v" + numbers(100, "\t\f \n\n"))), expected);
  std::string unended = "1\n" + numbers(100);
  unended.pop_back();
  EXPECT_EQ(read_all(put("unended.txt", unended)), expected);
}

TEST_F(ReadNoise, AnyDecimalOrExponentForm) {
  const std::vector<float> noise =
      read_all(put("noise.txt", "+1\n1 -1 +1.5 .5 -.5 5. 1e3 1E-3 -2.5e+2 1e-60 -1e-60 1e-40 " + numbers(88)));
  const float expected[] = {1, -1, 1.5f, 0.5f, -0.5f, 5, 1000, 0.001f, -250, 0.0f, -0.0f, 1e-40f};
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(noise[i], expected[i]) << i;
  EXPECT_TRUE(std::signbit(noise[10]));
}

// Longer than a block, in one piece with what follows.
TEST_F(ReadNoise, NumbersOfAnyLength) {
  const std::string zeros(3 << 20, '0');
  const std::string text =
      zeros + "1\n" + zeros + ".25 -0." + zeros + "1e" + std::to_string(zeros.size()) + " " + numbers(98);
  for (const int threads : {1, 2, 5}) {
    const std::vector<float> noise = read_all(put("noise.txt", text), threads);
    ASSERT_EQ(noise.size(), 100u);
    EXPECT_EQ(noise[0], 0.25f);
    EXPECT_EQ(noise[1], -0.1f);
    EXPECT_EQ(noise[99], 0.000098f);
    const Feed feed(text);
    EXPECT_EQ(read_all(feed.path(), threads), noise);
  }
}

TEST_F(ReadNoise, NoFacesIsLegal) {
  EXPECT_EQ(NoiseReader(put("noise.txt", "0\n"), 1).faces(), 0);
  EXPECT_FALSE(NoiseReader(path("noise.txt"), 1).surplus());
}

// Many blocks, many pieces: the same numbers however the work is cut, in a file and in a pipe.
TEST_F(ReadNoise, SameForAnyThreadsAndBatches) {
  constexpr std::int64_t kFaces = 5000;
  const std::vector<float> expected = random_values(kFaces * net::kNoise);
  std::string text = std::to_string(kFaces) + "\n";
  for (std::size_t i = 0; i < expected.size(); ++i) {
    char number[32];
    std::snprintf(number, sizeof number, i % 3 == 0 ? "%.9g " : "%.9e ", static_cast<double>(expected[i]));
    text += number;
    if (i % net::kNoise == net::kNoise - 1) text += '\n';
  }
  const std::string file = put("noise.txt", text);
  ASSERT_GT(text.size(), 5u << 20);  // several blocks even of 8 threads
  for (const int threads : {1, 2, 3, 8}) {
    EXPECT_EQ(read_all(file, threads), expected) << threads;
    EXPECT_EQ(read_all(file, threads, 7), expected) << threads;
    const Feed feed(text);
    EXPECT_EQ(read_all(feed.path(), threads, 999), expected) << threads;
  }
}

TEST_F(ReadNoise, StandardInput) {
  const Feed feed("1\n" + numbers(100));
  const Redirect in(STDIN_FILENO, feed.fd());
  EXPECT_EQ(read_all("-").size(), 100u);
}

TEST_F(ReadNoise, StandardInputThatIsAFile) {
  const std::string file = put("noise.txt", "ignored\n1\n" + numbers(100));
  const int fd = ::open(file.c_str(), O_RDONLY);
  ::lseek(fd, 8, SEEK_SET);  // as after `read line` in a shell
  {
    const Redirect in(STDIN_FILENO, fd);
    EXPECT_EQ(read_all("-").size(), 100u);
  }
  ::close(fd);
}

// Somebody types, or a service keeps the pipe open: what has come must be enough.
TEST_F(ReadNoise, NeedsNoEndOfAPipe) {
  const Feed feed("1\n" + numbers(100) + "\n", true);
  NoiseReader reader(feed.path(), 2);
  std::vector<float> noise(net::kNoise);
  reader.read(1, noise.data());
  EXPECT_EQ(noise[99], 0.0001f);
  EXPECT_FALSE(reader.surplus());
}

TEST_F(ReadNoise, TellsSurplus) {
  EXPECT_FALSE(surplus_after_all(put("exact.txt", "1\n" + numbers(100))));
  EXPECT_FALSE(surplus_after_all(put("space.txt", "1\n" + numbers(100) + std::string(2 << 20, '\n'))));
  EXPECT_TRUE(surplus_after_all(put("more.txt", "1\n" + numbers(101))));
  EXPECT_TRUE(surplus_after_all(put("words.txt", "1\n" + numbers(100) + "and words")));
  EXPECT_TRUE(surplus_after_all(put("far.txt", "1\n" + numbers(100) + std::string(2 << 20, ' ') + "1")));
  const Feed feed("1\n" + numbers(101));
  EXPECT_TRUE(surplus_after_all(feed.path()));
}

TEST_F(ReadNoise, RefusesFilesThatAreNone) {
  const auto open = [](const std::string& where) { return [where] { NoiseReader(where, 1); }; };
  expect_failure(kBadInput, {"'" + path("absent.txt") + "' does not exist"}, open(path("absent.txt")));
  expect_failure(kBadInput, {"is a directory"}, open(folder_));
  expect_failure(kBadInput, {"is empty", "number of faces N"}, open(put("empty.txt", "")));
  expect_failure(kBadInput, {"is empty"}, open(put("blank.txt", " \n \n")));
  const std::string file = put("secret.txt", "1\n");
  ::chmod(file.c_str(), 0000);
  const NoPrivileges none;
  expect_failure(kBadInput, {"'" + file + "'", "Permission denied"}, open(file));
}

TEST_F(ReadNoise, RefusesABadCount) {
  refuse("-5\n", {"noise.txt', line 1, column 1: '-5' is negative"});
  refuse("\n  ten\n", {"line 2, column 3: 'ten' is no whole number"});
  refuse("1.5\n", {"'1.5' is no whole number"});
  refuse("10x\n", {"'10x' is no whole number"});
  refuse("0x10\n", {"'0x10' is no whole number"});
  refuse("1e3\n", {"'1e3' is no whole number"});
  refuse("+-1\n", {"'+-1' is no whole number"});
  refuse("-\n", {"'-' is no whole number"});
  refuse("nan\n", {"'nan' is no whole number"});
  refuse(
      "\xef\xbb\xbf"
      "10\n",
      {"'\\xef\\xbb\\xbf10' is no whole number"});
  refuse("2147483648\n", {"'2147483648' faces are too many", "at most 2,147,483,647"});
  refuse("99999999999999999999999\n", {"'99999999999999999999999' faces are too many"});
  refuse("-99999999999999999999999\n", {"is negative"});
}

TEST_F(ReadNoise, RefusesATooLargeCountBeforeReading) {
  const std::string file = put("noise.txt", "2147483647\n" + numbers(150));
  expect_failure(kBadInput, {"ends early", "N = 2,147,483,647 faces need 214,748,364,700 numbers", "holds 150."},
                 [&] { NoiseReader(file, 2); });
}

TEST_F(ReadNoise, RefusesAFileThatEndsEarly) {
  refuse("2\n" + numbers(199), {"noise.txt' ends early: N = 2 faces need 200 numbers", "it holds 199."});
  refuse("1\n", {"need 100 numbers", "holds 0."});
  refuse("1", {"need 100 numbers", "holds 0."});
  const Feed feed("2\n" + numbers(42));
  expect_failure(kBadInput, {"need 200 numbers", "holds 42."}, [&] { read_all(feed.path()); });
}

TEST_F(ReadNoise, PlacesABadNumber) {
  const std::string good = numbers(50);
  refuse("1\n" + good + "abc " + good, {"noise.txt', line 2, column 451: 'abc' is no number"});
  refuse("1\n" + good + "\n nan " + good, {"line 3, column 2: 'nan' is not a number"});
  refuse("1\n" + good + "\r\n\r\n-inf " + good, {"line 4, column 1: '-inf' is infinite"});
  refuse("1\n" + good + "1e39 " + good, {"'1e39' is too large for a 32-bit float"});
  refuse("1\n" + good + "0,5 " + good, {"'0,5' is no number"});
  refuse("1\n" + good + "0x1p3 " + good, {"'0x1p3' is no number"});
  refuse("1\n" + good + "\x01\x7f " + good, {"'\\x01\\x7f' is no number"});
  refuse("1 oops " + numbers(99), {"line 1, column 3: 'oops' is no number"});
  refuse("1\n" + numbers(99) + "0.5x", {"line 2, column 892: '0.5x' is no number"});
  refuse("1\n" + good + "+-0.5 " + good, {"'+-0.5' is no number"});
  refuse("1\n" + good + std::string("0\0005 ", 5) + good, {"'0\\x005' is no number"});
  refuse("1\n" + good + std::string(20 << 20, '0') + " " + good,
         {"line 2, column 451: '" + std::string(40, '0') + "...' is longer than any number"});
}

TEST_F(ReadNoise, PlacesABadNumberFarInside) {
  std::string text = "20000\n";
  for (int face = 0; face < 20000; ++face) text += numbers(100) + "\n";
  text[7 + 901 * 17000 + 9 * 30] = 'x';  // line 17,002, the 31st number, its second character
  for (const int threads : {1, 2, 5}) refuse(text, {"line 17002, column 271: '0x000031' is no number"}, threads);
  // The numbers before it are handed out all the same.
  NoiseReader reader(path("noise.txt"), 3);
  std::vector<float> noise(17001 * net::kNoise);
  reader.read(17000, noise.data());
  expect_failure(kBadInput, {"line 17002"}, [&] { reader.read(1, noise.data()); });
}

// A terminal must not be at the mercy of a file.
TEST_F(ReadNoise, RefusesBinaryFiles) {
  const std::string zeros = "'" + std::string(40, '0') + "...'";
  refuse(std::string("\x1b[2J\xff\xb0", 6), {"line 1, column 1: '\\x1b[2J\\xff\\xb0' is no whole number"});
  refuse("1\n" + std::string(50, '0') + "x", {zeros + " is no number"});
  std::string many;
  for (int i = 0; i < 40; ++i) many += "\\x00";
  expect_failure(kBadInput, {"'/dev/zero', line 1, column 1: '" + many + "...' is longer than any number"},
                 [] { NoiseReader("/dev/zero", 2); });
}

// ---------------------------------------------------------------------------------------------------------------------
// Noise as .npy; tests/test_npy.py holds the headers against numpy.load.

std::string npy(const std::string& dict, const std::string& values, int version = 1) {
  std::string header = "\x93NUMPY";
  header += static_cast<char>(version);
  header += '\0';
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  for (std::size_t i = 0; i < length_bytes; ++i) header += static_cast<char>(dict.size() >> (8 * i) & 0xff);
  return header + dict + values;
}

const char kThree[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 100), }          \n";

class ReadNpyNoise : public FileTest {
 protected:
  void refuse(const std::string& bytes, const std::vector<std::string>& parts) {
    const std::string file = put("noise.npy", bytes);
    expect_failure(kBadInput, parts, [&] { read_all(file); });
  }
  const std::vector<float> values_ = random_values(300);
  const std::string bytes_ = bytes_of(values_);
};

TEST_F(ReadNpyNoise, GivesTheArrayOfAnyVersion) {
  for (const int version : {1, 2, 3}) {
    EXPECT_EQ(read_all(put("noise.npy", npy(kThree, bytes_, version)), 2, 2), values_) << version;
  }
  EXPECT_EQ(read_all(put("noise.NPY", npy("{\"shape\":(3,100),'fortran_order':False,'descr':'<f4'}", bytes_))),
            values_);
  // Fortran order, where it makes no difference; a type of the machine's own byte order; Python 2's long integers.
  const std::vector<float> row(values_.begin(), values_.begin() + 100);
  EXPECT_EQ(read_all(put("row.npy", npy("{'descr': 'f4', 'fortran_order': True, 'shape': (1L, 100L)}", bytes_))), row);
  EXPECT_EQ(
      NoiseReader(put("none.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 100)}", "")), 1).faces(),
      0);
}

TEST_F(ReadNpyNoise, TellsSurplus) {
  EXPECT_FALSE(surplus_after_all(put("exact.npy", npy(kThree, bytes_))));
  EXPECT_TRUE(surplus_after_all(put("more.npy", npy(kThree, bytes_ + "x"))));
}

TEST_F(ReadNpyNoise, RefusesOtherFiles) {
  refuse("", {"noise.npy' is empty"});
  refuse("3\n" + numbers(300), {"is no .npy file", "does not start with"});
  refuse("\x93NUM", {"is no .npy file"});
  refuse(std::string("\x93NUMPY\x01", 7), {"header is cut off"});
  refuse(npy(kThree, bytes_, 9), {"its version is 9.0"});
  refuse(npy(kThree, "").substr(0, 40), {"header is cut off"});
  refuse(std::string("\x93NUMPY\x02\0\xff\xff\xff\x7f", 12), {"claims to have 2,147,483,647 bytes"});
  refuse(npy("not a dict", bytes_), {"is no dict of descr"});
  refuse(npy("{'descr': '<f4', 'shape': (3, 100)}", bytes_), {"is no dict of descr, fortran_order and shape"});
  refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 100}", bytes_), {"is no .npy file"});
  refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 100)}", bytes_), {"its shape is (-3, 100)"});
  refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': 300}", bytes_), {"its shape is 300"});
}

TEST_F(ReadNpyNoise, RefusesOtherArraysSayingWhatWasFound) {
  refuse(npy("{'descr': '\x1b[31m', 'fortran_order': False, 'shape': (3, 100)}", bytes_), {"type '\\x1b[31m'"});
  refuse(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 100)}", bytes_), {"type '<f8'", "expected '<f4'"});
  refuse(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (3, 100)}", bytes_), {"type '>f4'"});
  refuse(npy("{'descr': [('x', '<f4'), ('y', '<f4')], 'fortran_order': False, 'shape': (3,)}", bytes_),
         {"type [('x', '<f4'), ('y', '<f4')]"});
  refuse(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 100)}", bytes_), {"Fortran order"});
  refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 99)}", bytes_), {"shape (3, 99)", "(N, 100)"});
  refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (300,)}", bytes_), {"shape (300,)", "(N, 100)"});
  refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", bytes_), {"shape ()", "(N, 100)"});
}

TEST_F(ReadNpyNoise, RefusesAnArrayThatEndsEarly) {
  const std::string cut = npy(kThree, bytes_.substr(0, 1199));
  refuse(cut, {"noise.npy' ends early: N = 3 faces need 300 numbers, and it holds 299."});
  expect_failure(kBadInput, {"ends early"}, [&] { NoiseReader(path("noise.npy"), 1); });  // before anything is computed
  const Feed feed(cut);
  Link link(path("pipe.npy"), feed.path());
  expect_failure(kBadInput, {"ends early", "holds 299."}, [&] { read_all(path("pipe.npy")); });
}

// N x 100 x 4 bytes would not fit 64 bits; a pipe has no size that would say so.
TEST_F(ReadNpyNoise, RefusesCountsThatCannotBe) {
  for (const std::string n : {"2147483648", "46116860184273880", "9223372036854775807"}) {
    const std::string bytes = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + n + ", 100)}", bytes_);
    refuse(bytes, {"faces; they are too many", "at most 2,147,483,647"});
    const Feed feed(bytes);
    Link link(path("pipe.npy"), feed.path());
    expect_failure(kBadInput, {"too many"}, [&] { read_all(path("pipe.npy")); });
  }
  refuse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808, 100)}", bytes_),
         {"its shape is"});
}

TEST_F(ReadNpyNoise, PlacesAValueThatIsNotFinite) {
  std::vector<float> values = values_;
  values[217] = std::numeric_limits<float>::quiet_NaN();
  const std::string file = put("noise.npy", npy(kThree, bytes_of(values)));
  expect_failure(kBadInput, {"value [2, 17] is NaN"}, [&] { read_all(file, 1, 1); });
  values[0] = -std::numeric_limits<float>::infinity();
  refuse(npy(kThree, bytes_of(values)), {"value [0, 0] is infinite"});
}

}  // namespace
