// The writers: the bytes of every kind of file, and that nothing looks whole which is not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef FACEGEN_PNG
#include <png.h>
#endif

#include <algorithm>
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

#include "io/descriptor.h"
#include "io/unfinished.h"
#include "io/writers.h"
#include "network.h"
#include "tests/io_support.h"

namespace {

using Names = std::vector<std::string>;

std::vector<float> random_faces(std::int64_t n) {
  std::mt19937 random(static_cast<unsigned>(n) + 1);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> faces(static_cast<std::size_t>(n) * net::kFaceFloats);
  for (float& value : faces) value = uniform(random);
  if (n > 0) {
    faces[0] = 1.0f;
    faces[1] = -1.0f;
    faces[2] = -0.0f;
  }
  return faces;
}

using Opener = std::unique_ptr<FaceWriter> (*)(const std::string&, std::int64_t, int);
constexpr Opener kData = &FaceWriter::open_data;
constexpr Opener kImage = &FaceWriter::open_image;

// Writes all faces, `batch` at a time.
void write_all(Opener open, const std::string& path, const std::vector<float>& faces, int threads = 1,
               std::int64_t batch = 1000) {
  const std::int64_t n = static_cast<std::int64_t>(faces.size()) / net::kFaceFloats;
  const std::unique_ptr<FaceWriter> writer = open(path, n, threads);
  for (std::int64_t done = 0; done < n; done += batch) {
    writer->write(std::min(batch, n - done), faces.data() + done * net::kFaceFloats);
  }
  writer->finish();
  writer->publish();
}

// What came out of a pipe that `work` wrote to through the path it is given.
std::string through_pipe(const std::function<void(const std::string& path)>& work) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  std::string bytes;
  std::thread reader([&] {
    char part[65536];
    for (ssize_t got; (got = ::read(ends[0], part, sizeof part)) > 0;)
      bytes.append(part, static_cast<std::size_t>(got));
  });
  work("/dev/fd/" + std::to_string(ends[1]));
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  return bytes;
}

// ---------------------------------------------------------------------------------------------------------------------
// The bytes

// The course's loop.
std::string course_text(const std::vector<float>& faces) {
  const std::size_t n = faces.size() / net::kFaceFloats;
  std::string text = std::to_string(n) + "\n";
  for (std::size_t face = 0; face < n; ++face) {
    for (std::size_t i = 0; i < net::kFaceFloats; ++i) {
      char value[64];
      std::snprintf(value, sizeof value, "%.4f ", static_cast<double>(faces[face * net::kFaceFloats + i]));
      text += value;
    }
    text += "\n";
  }
  return text;
}

class WriteText : public FileTest {};

TEST_F(WriteText, AsTheCoursesLoop) {
  for (const std::int64_t n : {0, 1, 3, 4, 5, 23}) {
    const std::vector<float> faces = random_faces(n);
    const std::string expected = course_text(faces);
    for (const int threads : {1, 2, 5}) {
      for (const std::int64_t batch : {1, 7, 1000}) {
        write_all(kData, path("faces.txt"), faces, threads, batch);
        EXPECT_TRUE(get(path("faces.txt")) == expected) << n << " faces, " << threads << " threads, batch " << batch;
      }
    }
  }
}

TEST_F(WriteText, ValuesThatNoNetworkOfOursGives) {
  std::vector<float> faces = random_faces(9);
  const float infinity = std::numeric_limits<float>::infinity();
  const float most = std::numeric_limits<float>::max();
  const float odd[] = {1.00004f, -1.5f, 12345.678f, infinity, -infinity, std::nanf(""), -std::nanf(""), most, -most};
  for (std::size_t i = 0; i < 9; ++i) faces[i * net::kFaceFloats + 100 * i] = odd[i];
  std::fill(faces.begin() + 4 * net::kFaceFloats, faces.begin() + 8 * net::kFaceFloats, -most);
  write_all(kData, path("faces.txt"), faces, 3);
  EXPECT_TRUE(get(path("faces.txt")) == course_text(faces));
}

TEST_F(WriteText, IntoAPipe) {
  const std::vector<float> faces = random_faces(30);
  EXPECT_TRUE(through_pipe([&](const std::string& pipe) { write_all(kData, pipe, faces, 4, 13); }) ==
              course_text(faces));
}

TEST_F(WriteText, ToStandardOutput) {
  const std::vector<float> faces = random_faces(5);
  const int fd = ::open(path("out").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::write(fd, "before\n", 7), 7);
  {
    std::fflush(stdout);
    const Redirect out(STDOUT_FILENO, fd);
    write_all(kData, "-", faces, 2);
  }
  ASSERT_EQ(::write(fd, "after\n", 6), 6);
  ::close(fd);
  EXPECT_TRUE(get(path("out")) == "before\n" + course_text(faces) + "after\n");
}

TEST_F(WriteText, AnyEndingButNpyIsText) {
  for (const char* name : {"faces", "faces.dat", "npy", "faces.npy.txt"}) {
    write_all(kData, path(name), random_faces(1));
    EXPECT_EQ(get(path(name)).substr(0, 2), "1\n") << name;
  }
}

class WriteNpy : public FileTest {};

TEST_F(WriteNpy, HeaderAndFloats) {
  for (const std::int64_t n : {0, 1, 12}) {
    const std::vector<float> faces = random_faces(n);
    write_all(kData, path("faces.npy"), faces, 2, 5);
    const std::string bytes = get(path("faces.npy"));
    const std::string dict =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(n) + ", 64, 64, 3), }";
    const std::string start = std::string("\x93NUMPY\x01\0\x76\0", 10) + dict;
    EXPECT_EQ(bytes.substr(0, start.size()), start);
    EXPECT_EQ(bytes[127], '\n');
    ASSERT_EQ(bytes.size(), 128 + faces.size() * sizeof(float));
    EXPECT_TRUE(std::equal(faces.begin(), faces.end(), reinterpret_cast<const float*>(bytes.data() + 128)));
  }
}

TEST_F(WriteText, NoneWritesNothing) {
  write_all(kData, "none", random_faces(1));
  write_all(kImage, "none", random_faces(1));
  EXPECT_EQ(::access("none", F_OK), -1);
}

// ---------------------------------------------------------------------------------------------------------------------
// The picture

// A channel's value in the picture, as docs/contract.md writes it.
int channel(float y) { return (int)((y + 1) / 2 * 255); }

// A BMP written pixel by pixel.
std::string plain_bmp(const std::vector<float>& faces) {
  const int n = static_cast<int>(faces.size()) / net::kFaceFloats;
  int side = 0;
  while (side * side < n) ++side;
  const int pixels = 64 * side;
  const std::uint32_t image = static_cast<std::uint32_t>(pixels * pixels * 3);
  const std::uint32_t fields[13] = {54 + image,
                                    0,
                                    54,
                                    40,
                                    static_cast<std::uint32_t>(pixels),
                                    static_cast<std::uint32_t>(pixels),
                                    1 | 24 << 16,
                                    0,
                                    image,
                                    0,
                                    0,
                                    0,
                                    0};
  std::string bmp = "BM" + std::string(reinterpret_cast<const char*>(fields), sizeof fields);
  for (int y = pixels - 1; y >= 0; --y) {
    for (int x = 0; x < pixels; ++x) {
      const int face = y / 64 * side + x / 64;
      for (int c = 2; c >= 0; --c) {
        const int at = face * net::kFaceFloats + (y % 64 * 64 + x % 64) * 3 + c;
        bmp += static_cast<char>(face < n ? channel(faces[static_cast<std::size_t>(at)]) : 0);
      }
    }
  }
  return bmp;
}

class WriteSheet : public FileTest {};

TEST_F(WriteSheet, BmpAsAPlainLoopMakesIt) {
  for (const std::int64_t n : {0, 1, 2, 3, 4, 5, 7, 10, 16, 17, 21}) {
    const std::vector<float> faces = random_faces(n);
    const std::string expected = plain_bmp(faces);
    for (const std::int64_t batch : {1, 3, 1000}) {
      write_all(kImage, path("sheet.bmp"), faces, 2, batch);
      EXPECT_TRUE(get(path("sheet.bmp")) == expected) << n << " faces, batch " << batch;
    }
    EXPECT_TRUE(through_pipe([&](const std::string& pipe) { write_all(kImage, pipe, faces); }) == expected) << n;
  }
}

// Rows long enough for several threads: 70 x 70 cells, filled from a few faces over and over.
TEST_F(WriteSheet, SameForAnyThreads) {
  const std::vector<float> faces = random_faces(99);
  for (const int threads : {1, 3}) {
    const std::unique_ptr<FaceWriter> writer =
        FaceWriter::open_image(path(std::to_string(threads) + ".bmp"), 4851, threads);
    for (int i = 0; i < 49; ++i) writer->write(99, faces.data());
    writer->finish();
    writer->publish();
  }
  EXPECT_TRUE(get(path("1.bmp")) == get(path("3.bmp")));
}

TEST_F(WriteSheet, EveryChannelValueAsCComputesIt) {
  std::vector<float> faces = random_faces(1);
  // Around each place where the channel value changes.
  std::size_t i = 0;
  for (int level = 0; level <= 255; ++level) {
    float y = static_cast<float>(level / 255.0 * 2 - 1);
    for (int step = 0; step < 16; ++step) y = std::nextafter(y, -1.0f);
    for (int step = 0; step < 33; ++step, y = std::nextafter(y, 1.0f)) faces[i++] = std::min(std::max(y, -1.0f), 1.0f);
  }
  ASSERT_LE(i, faces.size());
  write_all(kImage, path("sheet.bmp"), faces);
  EXPECT_TRUE(get(path("sheet.bmp")) == plain_bmp(faces));
}

TEST_F(WriteSheet, ValuesBeyondTheRangeAreClamped) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float odd[] = {1.1f, -1.1f, 1e30f, -1e30f, infinity, -infinity, std::nanf("")};
  const int expected[] = {255, 0, 255, 0, 255, 0, 0};
  std::vector<float> faces = random_faces(1);
  for (std::size_t i = 0; i < 7; ++i) faces[(63 * 64 + i) * 3 + 2] = odd[i];  // blue of the lowest line: first in a BMP
  write_all(kImage, path("sheet.bmp"), faces);
  const std::string bmp = get(path("sheet.bmp"));
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(static_cast<unsigned char>(bmp[54 + 3 * i]), expected[i]) << odd[i];
}

TEST_F(WriteSheet, BeyondFourGiBIsRefusedAtOnce) {
  expect_failure(kBadInput, {"349,282 faces is too large for a BMP", "349,281", ".png", "none", "sheet.bmp'"},
                 [&] { FaceWriter::open_image(path("sheet.bmp"), 349282, 1); });
  EXPECT_EQ(names(), Names());
  FaceWriter::open_image(path("sheet.bmp"), 349281, 1);  // 591 x 591 still fits
}

#ifdef FACEGEN_PNG

// Pixels of a PNG as in plain_bmp(): blue first, the lowest line first.
std::string pixels_of_png(const std::string& path) {
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_file(&image, path.c_str()), 0) << image.message;
  EXPECT_EQ(image.format, static_cast<png_uint_32>(PNG_FORMAT_RGB));
  image.format = PNG_FORMAT_BGR;
  std::string pixels(PNG_IMAGE_SIZE(image), '\0');
  const png_int_32 stride = -static_cast<png_int_32>(PNG_IMAGE_ROW_STRIDE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, &pixels[0], stride, nullptr), 0) << image.message;
  return pixels;
}

TEST_F(WriteSheet, PngHasThePixelsOfTheBmp) {
  for (const std::int64_t n : {1, 2, 5, 9, 10, 21}) {
    const std::vector<float> faces = random_faces(n);
    write_all(kImage, path("sheet.png"), faces, 2, 3);
    EXPECT_TRUE(pixels_of_png(path("sheet.png")) == plain_bmp(faces).substr(54)) << n;
  }
}

TEST_F(WriteSheet, PngOfNoFacesIsOneBlackCell) {
  write_all(kImage, path("sheet.PNG"), {});
  EXPECT_TRUE(pixels_of_png(path("sheet.PNG")) == std::string(64 * 64 * 3, '\0'));
}

TEST_F(WriteSheet, PngIntoAPipe) {
  const std::vector<float> faces = random_faces(5);
  write_all(kImage, path("sheet.png"), faces);
  ASSERT_EQ(::symlink("/dev/full", path("full.png").c_str()), 0);
  ASSERT_EQ(::mkfifo(path("pipe.png").c_str(), 0600), 0);
  std::string piped;
  std::thread reader([&] { piped = get(path("pipe.png")); });
  write_all(kImage, path("pipe.png"), faces);
  reader.join();
  EXPECT_TRUE(piped == get(path("sheet.png")));
  expect_failure(kMachine, {"full.png'", "No space left"},
                 [&] { write_all(kImage, path("full.png"), random_faces(100)); });
}

#else

TEST_F(WriteSheet, PngNeedsLibpng) {
  expect_failure(kUsage, {"sheet.png'", "without libpng", ".bmp"},
                 [&] { FaceWriter::open_image(path("sheet.png"), 1, 1); });
  EXPECT_EQ(names(), Names());
}

#endif

// ---------------------------------------------------------------------------------------------------------------------
// Names, and what goes wrong

struct Kind {
  Opener open;
  const char* name;
};

// Every kind of file must keep these promises.
class OutputPromises : public FileTest, public ::testing::WithParamInterface<Kind> {
 protected:
  std::unique_ptr<FaceWriter> open(const std::string& where, std::int64_t n = 30) {
    return GetParam().open(where, n, 2);
  }
  std::string target() const { return path(GetParam().name); }
  void write(const std::string& where) { write_all(GetParam().open, where, faces_, 2, 11); }

  const std::vector<float> faces_ = random_faces(30);
};

INSTANTIATE_TEST_SUITE_P(AllKinds, OutputPromises,
                         ::testing::Values(Kind{kData, "faces.txt"}, Kind{kData, "faces.npy"}, Kind{kImage, "sheet.bmp"}
#ifdef FACEGEN_PNG
                                           ,
                                           Kind{kImage, "sheet.png"}
#endif
                                           ),
                         [](const auto& info) {
                           return std::string(info.param.name).substr(std::strlen(info.param.name) - 3);
                         });

TEST_P(OutputPromises, AppearsOnlyWhenComplete) {
  put(GetParam().name, "the file before");
  {
    const std::unique_ptr<FaceWriter> writer = open(target());
    writer->write(30, faces_.data());
    EXPECT_EQ(get(target()), "the file before");
    EXPECT_EQ(names(), Names{GetParam().name});
    writer->finish();
    EXPECT_EQ(get(target()), "the file before");
    writer->publish();
    EXPECT_EQ(names(), Names{GetParam().name});
  }
  EXPECT_EQ(names(), Names{GetParam().name});
  EXPECT_NE(get(target()), "the file before");
}

TEST_P(OutputPromises, GivenUpLeavesNothing) {
  open(target())->write(7, faces_.data());
  open(target())->finish();
  EXPECT_EQ(names(), Names());
  put(GetParam().name, "the file before");
  open(target())->write(7, faces_.data());
  EXPECT_EQ(names(), Names{GetParam().name});
  EXPECT_EQ(get(target()), "the file before");
}

// The target appeared while the run went on.
TEST_P(OutputPromises, ReplacesWhatHasComeInBetween) {
  const std::unique_ptr<FaceWriter> writer = open(target());
  writer->write(30, faces_.data());
  writer->finish();
  put(GetParam().name, "somebody's");
  writer->publish();
  EXPECT_EQ(names(), Names{GetParam().name});
  EXPECT_NE(get(target()), "somebody's");
}

// A file system without nameless files: /proc is hidden from the writers in its place.
TEST_P(OutputPromises, KeepThemWithTemporaryNamesToo) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", "/proc", "tmpfs", 0, nullptr) != 0) {
    GTEST_SKIP() << "hiding /proc needs root";
  }
  put(GetParam().name, "the file before");
  ASSERT_EQ(::chmod(target().c_str(), 0600), 0);
  struct stat info;
  const std::string temporary = "." + std::string(GetParam().name) + ".partial." + std::to_string(::getpid());
  {
    const std::unique_ptr<FaceWriter> writer = open(target());
    writer->write(30, faces_.data());
    EXPECT_EQ(names(), (Names{temporary, GetParam().name}));
    EXPECT_EQ(::stat(path(temporary).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  EXPECT_EQ(get(target()), "the file before");
  {
    const std::unique_ptr<FaceWriter> writer = open(target());
    writer->write(30, faces_.data());
    remove_unfinished_files();
    EXPECT_EQ(names(), Names{GetParam().name});
    writer->finish();
    expect_failure(kMachine, {GetParam().name}, [&] { writer->publish(); });
  }
  EXPECT_EQ(get(target()), "the file before");
  // What killed runs left goes, what another run has locked stays, and so does what is no name of ours.
  const std::string start = "." + std::string(GetParam().name) + ".partial.", used = start + "1.2",
                    other = start + "1.a";
  for (const std::string& name : {start + "1", used, other}) put(name, "of another run");
  const Descriptor user(::open(path(used).c_str(), O_RDONLY));
  ASSERT_EQ(::flock(user.get(), LOCK_EX), 0);
  write(target());
  EXPECT_EQ(names(), (Names{used, other, GetParam().name}));
  EXPECT_NE(get(target()), "the file before");
  const std::unique_ptr<FaceWriter> first = open(target()), second = open(target());  // neither takes the other's
  for (FaceWriter* writer : {first.get(), second.get()}) writer->write(30, faces_.data());
  for (FaceWriter* writer : {first.get(), second.get()}) writer->finish(), writer->publish();
  EXPECT_EQ(names(), (Names{used, other, GetParam().name}));
  EXPECT_EQ(::umount("/proc"), 0);
}

TEST_P(OutputPromises, FinishedFilesStay) {
  write(target());
  remove_unfinished_files();
  EXPECT_EQ(names(), Names{GetParam().name});
}

TEST_P(OutputPromises, AnotherRunsFileOfTheSameNameIsNotTouched) {
  const std::string leftover = "." + std::string(GetParam().name) + ".partial." + std::to_string(::getpid());
  put(leftover, "somebody's");
  const Descriptor user(::open(path(leftover).c_str(), O_RDONLY));
  ASSERT_EQ(::flock(user.get(), LOCK_EX), 0);
  for (int i = 0; i < 2; ++i) write(target());  // the file is new, then replaced
  EXPECT_EQ(names(), (Names{leftover, GetParam().name}));
  EXPECT_EQ(get(path(leftover)), "somebody's");
}

TEST_P(OutputPromises, FollowsLinks) {
  ASSERT_EQ(::mkdir(path("there").c_str(), 0755), 0);
  const std::string name = GetParam().name;
  const std::string link = path("link." + name.substr(name.size() - 3));
  ASSERT_EQ(::symlink(("there/" + name).c_str(), link.c_str()), 0);
  for (int i = 0; i < 2; ++i) {  // the file is new, then exists
    write(link);
    EXPECT_TRUE(std::filesystem::is_symlink(link));
    EXPECT_TRUE(std::filesystem::is_regular_file(path("there/" + name)));
    EXPECT_EQ(names().size(), 2u);
  }
}

TEST_P(OutputPromises, PermissionsAreTheUmasksOrTheOldFiles) {
  struct stat info;
  const mode_t before = ::umask(027);
  write(target());
  ::umask(before);
  ASSERT_EQ(::stat(target().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  ASSERT_EQ(::chmod(target().c_str(), 0604), 0);
  write(target());
  ASSERT_EQ(::stat(target().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0604u);
}

TEST_P(OutputPromises, NamesOfAnyLength) {
  const std::string ending = std::string(GetParam().name).substr(std::strlen(GetParam().name) - 4);
  const std::string name = std::string(251, 'x') + ending;
  write(path(name));
  EXPECT_EQ(names(), Names{name});
}

TEST_P(OutputPromises, RefusesPathsThatCannotBeCreated) {
  expect_failure(kUsage, {"absent", "No such file or directory", "Create its folder"},
                 [&] { open(path("absent/" + std::string(GetParam().name))); });
  put("file", "");
  expect_failure(kUsage, {"Not a directory"}, [&] { open(path("file/" + std::string(GetParam().name))); });
  ASSERT_EQ(::mkdir(target().c_str(), 0755), 0);
  expect_failure(kUsage, {"'" + target() + "'", "Is a directory"}, [&] { open(target()); });
  const std::string ending = std::string(GetParam().name).substr(std::strlen(GetParam().name) - 4);
  expect_failure(kUsage, {"File name too long"}, [&] { open(path(std::string(252, 'x') + ending)); });
  ASSERT_EQ(::symlink(("loop" + ending).c_str(), path("loop" + ending).c_str()), 0);
  expect_failure(kUsage, {"loop", "symbolic links"}, [&] { open(path("loop" + ending)); });
}

TEST_P(OutputPromises, RefusesPathsThatMayNotBeWritten) {
  ASSERT_EQ(::mkdir(path("locked").c_str(), 0555), 0);
  put(GetParam().name, "kept");
  ::chmod(target().c_str(), 0444);
  const NoPrivileges none;
  expect_failure(kUsage, {"Permission denied", "folder that you may write to"},
                 [&] { open(path("locked/" + std::string(GetParam().name))); });
  expect_failure(kUsage, {"'" + target() + "'", "Permission denied"}, [&] { open(target()); });
  EXPECT_EQ(get(target()), "kept");
}

// The folder does not let the file be replaced, but it may be written.
TEST_P(OutputPromises, WritesOverAFileInALockedFolder) {
  ASSERT_EQ(::mkdir(path("locked").c_str(), 0755), 0);
  const std::string file = put("locked/" + std::string(GetParam().name), std::string(9000000, 'x'));
  ::chmod(file.c_str(), 0666);
  ::chmod(path("locked").c_str(), 0555);
  {
    const NoPrivileges none;
    open(file)->write(30, faces_.data());
    EXPECT_EQ(get(file).substr(0, 3), "xxx");
    EXPECT_NE(open(file)->irreplaceable(), "");
    write(file);
  }
  ::chmod(path("locked").c_str(), 0755);
  write(target());
  EXPECT_TRUE(get(file) == get(target()));
}

TEST_P(OutputPromises, WritesOverAnothersFileInAStickyFolder) {
  if (::geteuid() != 0) GTEST_SKIP() << "a file of another user needs root";
  ASSERT_EQ(::mkdir(path("sticky").c_str(), 0777), 0);
  ASSERT_EQ(::chmod(path("sticky").c_str(), 01777), 0);
  const std::string file = put("sticky/" + std::string(GetParam().name), std::string(9000000, 'x'));
  ::chmod(file.c_str(), 0666);
  {
    const NoPrivileges none;
    open(file)->write(30, faces_.data());
    EXPECT_EQ(get(file).substr(0, 3), "xxx");
    write(file);
  }
  write(target());
  EXPECT_TRUE(get(file) == get(target()));
}

TEST_P(OutputPromises, WritesOverAMountPoint) {
  put("mounted", "xxx");
  put(GetParam().name, "the point");
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount(path("mounted").c_str(), target().c_str(), nullptr, MS_BIND, nullptr) != 0) {
    GTEST_SKIP() << "mounting needs root";
  }
  open(target())->write(30, faces_.data());
  EXPECT_EQ(get(target()), "xxx");
  write(target());
  EXPECT_EQ(::umount(target().c_str()), 0);
  EXPECT_EQ(get(target()), "the point");
  write(target());
  EXPECT_TRUE(get(path("mounted")) == get(target()));
}

// A file system that fills: here the limit on file sizes, which strikes in the same place.
TEST_P(OutputPromises, AFullDiskLeavesNothing) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 200000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_failure(kMachine, {"'" + target() + "'", "File too large", "ulimit -f"}, [&] { write(target()); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(names(), Names());
}

TEST_P(OutputPromises, SaysThatAPipeBroke) {
  ::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  const std::string name = GetParam().name;
  const std::string link = path("broken." + name.substr(name.size() - 3));
  ASSERT_EQ(::symlink(("/dev/fd/" + std::to_string(ends[1])).c_str(), link.c_str()), 0);
  expect_failure(kMachine, {"'" + link + "'", "Broken pipe", "has ended"}, [&] { write(link); });
  ::close(ends[1]);
}

TEST_P(OutputPromises, SaysThatADeviceIsFull) {
  const std::string name = GetParam().name;
  const std::string link = path("full." + name.substr(name.size() - 3));
  ASSERT_EQ(::symlink("/dev/full", link.c_str()), 0);
  expect_failure(kMachine, {"'" + link + "'", "No space left on device", "Free some space"}, [&] { write(link); });
  EXPECT_TRUE(std::filesystem::is_symlink(link));
}

TEST_P(OutputPromises, ManyWritersAtATime) {
  std::vector<std::thread> threads;
  const std::string name = GetParam().name;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { write(path(std::to_string(i) + name)); });
  for (std::thread& thread : threads) thread.join();
  write(target());
  EXPECT_EQ(names().size(), 5u);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(get(path(std::to_string(i) + name)) == get(target())) << i;
}

TEST_P(OutputPromises, ClosesWhatItOpens) {
  write(target());
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open_files();
  write(target());
  open(target())->write(7, faces_.data());
  expect_failure(kUsage, {"absent"}, [&] { open(path("absent/" + std::string(GetParam().name))); });
  EXPECT_EQ(open_files(), before);
}

}  // namespace
