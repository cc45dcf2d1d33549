// The readers: what they read, and the sentence for everything that can be wrong with a file.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "io/readers.h"
#include "network.h"
#include "tests/support.h"

namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

std::string bytes_of(const Floats& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// n numbers, each of which names its place: 0.000001, 0.000002, ...
std::string numbers(int n, const char* separator = " ") {
  std::string text;
  for (int i = 1; i <= n; ++i) text += "0." + std::to_string(1000000 + i).substr(1) + separator;
  return text;
}

// The noise of a file, `batch` faces at a time (0: all); surplus: whether there is more.
Floats read_all(const std::string& path, int threads = 1, std::int64_t batch = 0, bool* surplus = nullptr) {
  NoiseReader reader(path, threads);
  Floats noise(std::size_t(reader.faces()) * net::kNoise);
  if (batch == 0) batch = std::max<std::int64_t>(reader.faces(), 1);
  for (std::int64_t done = 0; done < reader.faces(); done += batch) {
    reader.read(std::min(batch, reader.faces() - done), noise.data() + done * net::kNoise);
  }
  if (surplus) *surplus = reader.surplus();
  return noise;
}

bool surplus_after_all(const std::string& path) {
  bool surplus;
  read_all(path, 2, 0, &surplus);
  return surplus;
}

// A pipe's reading end as a path, fed by a thread.
class Feed {
 public:
  // keep_open: until the Feed ends, as somebody does who types.
  explicit Feed(std::string bytes, bool keep_open = false) {
    EXPECT_EQ(::pipe(ends_), 0);
    thread_ = std::thread([this, bytes = std::move(bytes), keep_open] {
      EXPECT_EQ(::write(ends_[1], bytes.data(), bytes.size()), ssize_t(bytes.size()));
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

// A file's bytes, and parts of the sentence that refuses it.
struct Refused {
  std::string bytes;
  Strings parts;
};

// What any file may suffer from, for one of the readers.
class Reading : public FileTest {
 protected:
  void refuse_what_is_no_file(const std::function<void(const std::string&)>& read) {
    const std::string absent = path("absent"), secret = put("secret", "1\n");
    expect_failure(kBadInput, {"'" + absent + "' does not exist"}, [&] { read(absent); });
    expect_failure(kBadInput, {"'" + folder_ + "' is a directory"}, [&] { read(folder_); });
    ::chmod(secret.c_str(), 0000);
    const NoPrivileges none;
    expect_failure(kBadInput, {"'" + secret + "'", "Permission denied"}, [&] { read(secret); });
  }
};

// ---- The network

class ReadNetwork : public Reading {
 protected:
  void refuse(const Strings& parts, const std::string& where) {
    expect_failure(kBadInput, parts, [&] { read_network(where); });
  }
};

// Values of both signs, but for the variances.
Floats random_parameters() {
  Floats network = random_values(net::kNetworkFloats);
  for (const net::Layer& layer : net::kTable.layer) {
    for (std::size_t i = layer.var; layer.batch_norm && i < layer.var + layer.K; ++i)
      network[i] = std::fabs(network[i]);
  }
  return network;
}

TEST_F(ReadNetwork, GivesTheFloatsOfAFileOrPipe) {
  Floats network = random_parameters();
  network[net::kProj.var] = 0.0f;
  network[net::kTconv3.var + 1] = -0.0f;
  const Feed feed(bytes_of(network));
  EXPECT_EQ(read_network(put("network.bin", bytes_of(network))), network);
  EXPECT_EQ(read_network(feed.path()), network);
}

TEST_F(ReadNetwork, RefusesFilesThatAreNone) {
  refuse_what_is_no_file([](const std::string& where) { read_network(where); });
}

TEST_F(ReadNetwork, RefusesWrongSizesWithBoth) {
  const auto zeros = [](std::size_t n) { return std::string(n, '\0'); };
  refuse({"is empty", "20,549,132"}, put("empty.bin", ""));
  refuse({"has 20,549,128 bytes", "exactly 20,549,132 bytes (5,137,283 floats)"},
         put("short.bin", zeros(net::kNetworkBytes - 4)));
  refuse({"has 20,549,133 bytes", "20,549,132"}, put("long.bin", zeros(net::kNetworkBytes + 1)));
  const Feed few(zeros(1000)), many(zeros(net::kNetworkBytes + 1));
  refuse({"has 1,000 bytes", "20,549,132"}, few.path());
  refuse({"has more bytes", "20,549,132"}, many.path());
}

// Also a network as an exporter makes it that swaps mean and var; means below 0 are legal.
TEST_F(ReadNetwork, NamesTheParameterThatIsNoFiniteOneOrAVarianceBelowZero) {
  const struct {
    std::size_t place;
    float value;
    Strings parts;
  } rows[] = {
      {0, kNan, {"proj weight, index 0 ", "float 0 of the file", "is NaN"}},
      {net::kProj.bias + 8191, kInfinity, {"proj bias, index 8,191 ", "is infinite"}},
      {net::kProj.beta, -kInfinity, {"proj beta, channel 0 ", "is infinite"}},
      {net::kTconv1.gamma + 3, kNan, {"tconv1 gamma, channel 3 "}},
      {net::kTconv2.weight + 12345, kNan, {"tconv2 weight, index 12,345 ", "float 4,119,865 of the file"}},
      {net::kTconv2.mean + 127, kNan, {"tconv2 mean, channel 127 "}},
      {net::kTconv3.var + 63, kNan, {"tconv3 var, channel 63 "}},
      {net::kTconv4.weight, kNan, {"tconv4 weight, index 0 "}},
      {net::kNetworkFloats - 1, kNan, {"tconv4 bias, channel 2 ", "float 5,137,282 of the file", "byte 20,549,128"}},
      {net::kProj.var + 7,
       -0.25f,
       {"proj var, channel 7 (float 828,935 of the file, byte 3,315,740, counted from 0) is -0.25", "mean and var"}},
      {net::kTconv3.var + 63, -1e-45f, {"tconv3 var, channel 63 ", "is -1e-45"}},
  };
  for (const auto& row : rows) {
    Floats network(net::kNetworkFloats, 0.25f);
    network[row.place] = row.value;
    refuse(row.parts, put("network.bin", bytes_of(network)));
  }
  Floats network(net::kNetworkFloats, 0.25f);
  network[net::kTconv1.mean] = network[net::kTconv2.gamma] = network[net::kTconv3.beta + 63] = -0.25f;
  EXPECT_EQ(read_network(put("network.bin", bytes_of(network))), network);
}

// ---- Noise as text

class ReadNoise : public Reading {
 protected:
  // Opens and reads each; expects that to fail.
  void refuse(const std::vector<Refused>& rows, int threads = 2, const char* name = "noise.txt") {
    for (const Refused& row : rows) {
      SCOPED_TRACE(row.parts[0]);
      expect_failure(kBadInput, row.parts, [&] { read_all(put(name, row.bytes), threads); });
    }
  }
};

TEST_F(ReadNoise, GivesTheNumbersInOrderWhateverSeparatesThem) {
  const Floats noise = read_all(put("noise.txt", "2\n" + numbers(100) + "\n" + numbers(100) + "\n"));
  ASSERT_EQ(noise.size(), 200u);
  for (std::size_t i = 0; i < 200; ++i)
    EXPECT_EQ(noise[i], std::strtof(("0.000" + std::to_string(i % 100 + 1001).substr(1)).c_str(), nullptr)) << i;

  const Floats expected(noise.begin(), noise.begin() + 100);
  const std::string plain = "1\n" + numbers(100);
  for (const std::string& text : {plain, plain.substr(0, plain.size() - 1), "1\r\n" + numbers(100, "\r\n"),
                                  "1 " + numbers(100), "\n\n\t 1\v" + numbers(100, "\t\f \n\n")})
    EXPECT_EQ(read_all(put("noise.txt", text)), expected) << text.substr(0, 50);
}

TEST_F(ReadNoise, AnyDecimalOrExponentForm) {
  const Floats noise =
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
    const Floats noise = read_all(put("noise.txt", text), threads);
    ASSERT_EQ(noise.size(), 100u);
    EXPECT_EQ(noise[0], 0.25f);
    EXPECT_EQ(noise[1], -0.1f);
    EXPECT_EQ(noise[99], 0.000098f);
    const Feed feed(text);
    EXPECT_EQ(read_all(feed.path(), threads), noise);
  }
}

// Many blocks, many pieces: the same numbers however the work is cut, in a file and in a pipe.
TEST_F(ReadNoise, SameForAnyThreadsAndBatches) {
  constexpr std::size_t kFaces = 5000;
  const Floats expected = random_values(kFaces * net::kNoise);
  std::string text = std::to_string(kFaces) + "\n";
  for (std::size_t i = 0; i < expected.size(); ++i) {
    char number[32];
    std::snprintf(number, sizeof number, i % 3 == 0 ? "%.9g " : "%.9e ", double(expected[i]));
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

// Standard input as a pipe, and as a file from where it stands, as after `read line` in a shell.
TEST_F(ReadNoise, StandardInput) {
  const Feed feed("1\n" + numbers(100));
  const int file = ::open(put("noise.txt", "ignored\n1\n" + numbers(100)).c_str(), O_RDONLY);
  ::lseek(file, 8, SEEK_SET);
  for (const int from : {feed.fd(), file}) {
    const Redirect in(STDIN_FILENO, from);
    EXPECT_EQ(read_all("-").size(), 100u);
  }
  ::close(file);
}

// Somebody types, or a service keeps the pipe open: what has come must be enough.
TEST_F(ReadNoise, NeedsNoEndOfAPipe) {
  const Feed feed("1\n" + numbers(100) + "\n", true);
  bool surplus = true;
  EXPECT_EQ(read_all(feed.path(), 2, 0, &surplus)[99], 0.0001f);
  EXPECT_FALSE(surplus);
}

TEST_F(ReadNoise, TellsSurplus) {
  for (const std::string& rest : {std::string(), std::string(2 << 20, '\n')})
    EXPECT_FALSE(surplus_after_all(put("exact.txt", "1\n" + numbers(100) + rest)));
  for (const std::string& rest : {std::string("0.5"), std::string("and words\n"), std::string(2 << 20, ' ') + "1"})
    EXPECT_TRUE(surplus_after_all(put("more.txt", "1\n" + numbers(100) + rest)));
  const Feed feed("1\n" + numbers(101));
  EXPECT_TRUE(surplus_after_all(feed.path()));
  EXPECT_EQ(NoiseReader(put("none.txt", "0\n"), 1).faces(), 0);  // no faces are legal
  EXPECT_FALSE(surplus_after_all(path("none.txt")));
}

TEST_F(ReadNoise, RefusesFilesThatAreNone) {
  refuse_what_is_no_file([](const std::string& where) { NoiseReader(where, 1); });
}

TEST_F(ReadNoise, RefusesABadCount) {
  refuse({{"", {"is empty", "number of faces N"}},
          {" \n \n", {"is empty"}},
          {"-5\n", {"noise.txt', line 1, column 1: '-5' is negative"}},
          {"\n  ten\n", {"line 2, column 3: 'ten' is no whole number"}},
          {"\xef\xbb\xbf"
           "10\n",
           {"'\\xef\\xbb\\xbf10' is no whole number"}},
          {"2147483648\n", {"'2147483648' faces are too many", "at most 2,147,483,647"}},
          {"99999999999999999999999\n", {"'99999999999999999999999' faces are too many"}},
          {"-99999999999999999999999\n", {"is negative"}}});
  for (const std::string text : {"1.5", "10x", "0x10", "1e3", "+-1", "-", "nan"})
    refuse({{text + "\n", {"'" + text + "' is no whole number"}}});
}

TEST_F(ReadNoise, RefusesAFileThatEndsEarly) {
  refuse({{"2\n" + numbers(199), {"noise.txt' ends early: N = 2 faces need 200 numbers", "it holds 199."}},
          {"1\n", {"need 100 numbers", "holds 0."}},
          {"1", {"need 100 numbers", "holds 0."}}});
  const Feed feed("2\n" + numbers(42));
  expect_failure(kBadInput, {"need 200 numbers", "holds 42."}, [&] { read_all(feed.path()); });
  const std::string file = put("noise.txt", "2147483647\n" + numbers(150));  // before there is room for so many
  expect_failure(kBadInput, {"ends early", "N = 2,147,483,647 faces need 214,748,364,700 numbers", "holds 150."},
                 [&] { NoiseReader(file, 2); });
}

TEST_F(ReadNoise, PlacesABadNumber) {
  const std::string good = numbers(50), zeros = std::string(40, '0');
  const auto between = [&](const std::string& word) { return "1\n" + good + word + " " + good; };
  refuse({{between("abc"), {"noise.txt', line 2, column 451: 'abc' is no number"}},
          {between("\n nan"), {"line 3, column 2: 'nan' is not a number"}},
          {between("\r\n\r\n-inf"), {"line 4, column 1: '-inf' is infinite"}},
          {between("1e39"), {"'1e39' is too large for a 32-bit float"}},
          {between("0,5"), {"'0,5' is no number"}},
          {between("0x1p3"), {"'0x1p3' is no number"}},
          {between("\x01\x7f"), {"'\\x01\\x7f' is no number"}},
          {between("+-0.5"), {"'+-0.5' is no number"}},
          {between(std::string("0\0005", 3)), {"'0\\x005' is no number"}},
          {between(std::string(20 << 20, '0')), {"line 2, column 451: '" + zeros + "...' is longer than any number"}},
          {"1 oops " + numbers(99), {"line 1, column 3: 'oops' is no number"}},
          {"1\n" + numbers(99) + "0.5x", {"line 2, column 892: '0.5x' is no number"}},
          {"1\n" + std::string(50, '0') + "x", {"'" + zeros + "...' is no number"}}});
}

TEST_F(ReadNoise, PlacesABadNumberFarInside) {
  std::string text = "20000\n";
  for (int face = 0; face < 20000; ++face) text += numbers(100) + "\n";
  text[7 + 901 * 17000 + 9 * 30] = 'x';  // line 17,002, the 31st number, its second character
  for (const int threads : {1, 2, 5}) refuse({{text, {"line 17002, column 271: '0x000031' is no number"}}}, threads);
  // The numbers before it are handed out all the same.
  NoiseReader reader(path("noise.txt"), 3);
  Floats noise(17001 * net::kNoise);
  reader.read(17000, noise.data());
  expect_failure(kBadInput, {"line 17002"}, [&] { reader.read(1, noise.data()); });
}

// A terminal must not be at the mercy of a file.
TEST_F(ReadNoise, RefusesBinaryFiles) {
  refuse({{"\x1b[2J\xff\xb0", {"line 1, column 1: '\\x1b[2J\\xff\\xb0' is no whole number"}}});
  std::string many;
  for (int i = 0; i < 40; ++i) many += "\\x00";
  expect_failure(kBadInput, {"'/dev/zero', line 1, column 1: '" + many + "...' is longer than any number"},
                 [] { NoiseReader("/dev/zero", 2); });
}

// ---- Noise as .npy; tests/test_npy.py holds the headers against numpy.load

std::string npy(const std::string& dict, const std::string& values, int version = 1) {
  std::string header = std::string("\x93NUMPY") + char(version) + '\0';
  for (std::size_t i = 0; i < (version == 1 ? 2 : 4); ++i) header += char(dict.size() >> (8 * i) & 0xff);
  return header + dict + values;
}

std::string dict(const std::string& shape, const std::string& descr = "'<f4'", const char* fortran = "False") {
  return "{'descr': " + descr + ", 'fortran_order': " + fortran + ", 'shape': " + shape + ", }          \n";
}

const std::string kThree = dict("(3, 100)");

class ReadNpyNoise : public ReadNoise {
 protected:
  void refuse(const std::vector<Refused>& rows) { ReadNoise::refuse(rows, 1, "noise.npy"); }
  const Floats values_ = random_values(300);
  const std::string bytes_ = bytes_of(values_);
};

TEST_F(ReadNpyNoise, GivesTheArrayOfAnyVersion) {
  for (const int version : {1, 2, 3})
    EXPECT_EQ(read_all(put("noise.npy", npy(kThree, bytes_, version)), 2, 2), values_) << version;
  EXPECT_EQ(read_all(put("noise.NPY", npy("{\"shape\":(3,100),'fortran_order':False,'descr':'<f4'}", bytes_))),
            values_);
  // Fortran order, where it makes no difference; a type of the machine's own byte order; Python 2's long integers.
  EXPECT_EQ(read_all(put("row.npy", npy(dict("(1L, 100L)", "'f4'", "True"), bytes_))),
            Floats(values_.begin(), values_.begin() + 100));
  EXPECT_EQ(NoiseReader(put("none.npy", npy(dict("(0, 100)"), "")), 1).faces(), 0);
  EXPECT_FALSE(surplus_after_all(put("exact.npy", npy(kThree, bytes_))));
  EXPECT_TRUE(surplus_after_all(put("more.npy", npy(kThree, bytes_ + "x"))));
}

TEST_F(ReadNpyNoise, RefusesOtherFilesAndArraysSayingWhatWasFound) {
  refuse({{"", {"noise.npy' is empty"}},
          {"3\n" + numbers(300), {"is no .npy file", "does not start with"}},
          {"\x93NUM", {"is no .npy file"}},
          {"\x93NUMPY\x01", {"header is cut off"}},
          {npy(kThree, bytes_, 9), {"its version is 9.0"}},
          {npy(kThree, "").substr(0, 40), {"header is cut off"}},
          {std::string("\x93NUMPY\x02\0\xff\xff\xff\x7f", 12), {"claims to have 2,147,483,647 bytes"}},
          {npy("not a dict", bytes_), {"is no dict of descr"}},
          {npy("{'descr': '<f4', 'shape': (3, 100)}", bytes_), {"is no dict of descr, fortran_order and shape"}},
          {npy(dict("(3, 100"), bytes_), {"is no .npy file"}},
          {npy(dict("(-3, 100)"), bytes_), {"its shape is (-3, 100)"}},
          {npy(dict("300"), bytes_), {"its shape is 300"}},
          {npy(dict("(9223372036854775808, 100)"), bytes_), {"its shape is"}},
          {npy(dict("(3, 100)", "'\x1b[31m'"), bytes_), {"type '\\x1b[31m'"}},
          {npy(dict("(3, 100)", "'<f8'"), bytes_), {"type '<f8'", "expected '<f4'"}},
          {npy(dict("(3, 100)", "'>f4'"), bytes_), {"type '>f4'"}},
          {npy(dict("(3,)", "[('x', '<f4'), ('y', '<f4')]"), bytes_), {"type [('x', '<f4'), ('y', '<f4')]"}},
          {npy(dict("(3, 100)", "'<f4'", "True"), bytes_), {"Fortran order"}},
          {npy(dict("(3, 99)"), bytes_), {"shape (3, 99)", "(N, 100)"}},
          {npy(dict("(300,)"), bytes_), {"shape (300,)", "(N, 100)"}},
          {npy(dict("()"), bytes_), {"shape ()", "(N, 100)"}}});
}

TEST_F(ReadNpyNoise, RefusesAnArrayThatEndsEarly) {
  const std::string cut = npy(kThree, bytes_.substr(0, 1199));
  refuse({{cut, {"noise.npy' ends early: N = 3 faces need 300 numbers, and it holds 299."}}});
  expect_failure(kBadInput, {"ends early"}, [&] { NoiseReader(path("noise.npy"), 1); });  // before anything is computed
  const Feed feed(cut);
  expect_failure(kBadInput, {"ends early", "holds 299."}, [&] { read_all(link("pipe.npy", feed.path())); });
}

// N x 100 x 4 bytes would not fit 64 bits; a pipe has no size that would say so.
TEST_F(ReadNpyNoise, RefusesCountsThatCannotBe) {
  for (const std::string n : {"2147483648", "46116860184273880", "9223372036854775807"}) {
    const std::string bytes = npy(dict("(" + n + ", 100)"), bytes_);
    refuse({{bytes, {"faces; they are too many", "at most 2,147,483,647"}}});
    const Feed feed(bytes);
    expect_failure(kBadInput, {"too many"}, [&] { read_all(link(n + ".npy", feed.path())); });
  }
}

TEST_F(ReadNpyNoise, PlacesAValueThatIsNotFinite) {
  Floats values = values_;
  values[217] = kNan;
  const std::string file = put("noise.npy", npy(kThree, bytes_of(values)));
  expect_failure(kBadInput, {"value [2, 17] is NaN"}, [&] { read_all(file, 1, 1); });
  values[0] = -kInfinity;
  refuse({{npy(kThree, bytes_of(values)), {"value [0, 0] is infinite"}}});
}

}  // namespace
