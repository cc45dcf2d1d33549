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
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/output_file.h"
#include "io/unfinished.h"
#include "io/writers.h"
#include "network.h"
#include "tests/support.h"

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kMost = std::numeric_limits<float>::max();

Floats random_faces(std::size_t n) {
  Floats faces = random_values(n * net::kFaceFloats, unsigned(n) + 1);
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

// Writes all faces, `batch` at a time, as often as that.
void write_all(Opener open, const std::string& path, const Floats& faces, int threads = 1, std::int64_t batch = 1000,
               int times = 1) {
  const std::int64_t n = std::int64_t(faces.size()) / net::kFaceFloats;
  const std::unique_ptr<FaceWriter> writer = open(path, n * times, threads);
  for (int time = 0; time < times; ++time) {
    for (std::int64_t done = 0; done < n; done += batch)
      writer->write(std::min(batch, n - done), faces.data() + done * net::kFaceFloats);
  }
  writer->finish();
  writer->publish();
}

// What came out of a pipe that faces were written to.
std::string through_pipe(Opener open, const Floats& faces, int threads = 1, std::int64_t batch = 1000) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  std::string bytes;
  std::thread reader([&] { bytes = get("/dev/fd/" + std::to_string(ends[0])); });
  write_all(open, "/dev/fd/" + std::to_string(ends[1]), faces, threads, batch);
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  return bytes;
}

// ---- The numbers

// The course's loop.
std::string course_text(const Floats& faces) {
  std::string text = std::to_string(faces.size() / net::kFaceFloats) + "\n";
  for (std::size_t i = 0; i < faces.size(); ++i) {
    char value[64];
    std::snprintf(value, sizeof value, "%.4f ", double(faces[i]));
    text += value;
    if ((i + 1) % net::kFaceFloats == 0) text += "\n";
  }
  return text;
}

class WriteNumbers : public FileTest {};

TEST_F(WriteNumbers, AsTheCoursesLoop) {
  for (const std::size_t n : {0, 1, 3, 4, 5, 23}) {
    const Floats faces = random_faces(n);
    const std::string expected = course_text(faces);
    for (const int threads : {1, 2, 5}) {
      for (const std::int64_t batch : {1, 7, 1000}) {
        write_all(kData, path("faces.txt"), faces, threads, batch);
        EXPECT_TRUE(get(path("faces.txt")) == expected) << n << " faces, " << threads << " threads, batch " << batch;
      }
    }
    EXPECT_TRUE(through_pipe(kData, faces, 4, 13) == expected) << n;
  }
}

TEST_F(WriteNumbers, ThatNoNetworkOfOursGives) {
  Floats faces = random_faces(9);
  const float odd[] = {1.00004f,      -1.5f,          12345.678f, kInfinity, -kInfinity,
                       std::nanf(""), -std::nanf(""), kMost,      -kMost};
  for (std::size_t i = 0; i < 9; ++i) faces[i * net::kFaceFloats + 100 * i] = odd[i];
  std::fill(faces.begin() + 4 * net::kFaceFloats, faces.begin() + 8 * net::kFaceFloats, -kMost);
  write_all(kData, path("faces.txt"), faces, 3);
  EXPECT_TRUE(get(path("faces.txt")) == course_text(faces));
}

TEST_F(WriteNumbers, ToStandardOutput) {
  const Floats faces = random_faces(5);
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

TEST_F(WriteNumbers, InTheKindThatTheEndingNames) {
  for (const char* name : {"faces", "faces.dat", "npy", "faces.npy.txt"}) {
    write_all(kData, path(name), random_faces(1));
    EXPECT_EQ(get(path(name)).substr(0, 2), "1\n") << name;
  }
  for (const Opener open : {kData, kImage}) write_all(open, "none", random_faces(1));
  EXPECT_EQ(::access("none", F_OK), -1);
}

TEST_F(WriteNumbers, AsNpyHeaderAndFloats) {
  for (const std::size_t n : {0, 1, 12}) {
    const Floats faces = random_faces(n);
    write_all(kData, path("faces.npy"), faces, 2, 5);
    const std::string bytes = get(path("faces.npy"));
    const std::string start = std::string("\x93NUMPY\x01\0\x76\0", 10) +
                              "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(n) +
                              ", 64, 64, 3), }";
    EXPECT_EQ(bytes.substr(0, start.size()), start);
    EXPECT_EQ(bytes[127], '\n');
    ASSERT_EQ(bytes.size(), 128 + faces.size() * sizeof(float));
    EXPECT_TRUE(std::equal(faces.begin(), faces.end(), reinterpret_cast<const float*>(bytes.data() + 128)));
  }
}

// ---- The picture

// A BMP written pixel by pixel, each channel as docs/contract.md writes it.
std::string plain_bmp(const Floats& faces) {
  const int n = int(faces.size()) / net::kFaceFloats;
  int side = 0;
  while (side * side < n) ++side;
  const std::uint32_t pixels = std::uint32_t(64 * side), image = pixels * pixels * 3;
  const std::uint32_t fields[13] = {54 + image, 0, 54, 40, pixels, pixels, 1 | 24 << 16, 0, image};
  std::string bmp = "BM" + std::string(reinterpret_cast<const char*>(fields), sizeof fields);
  for (int y = int(pixels) - 1; y >= 0; --y) {
    for (int x = 0; x < int(pixels); ++x) {
      const int face = y / 64 * side + x / 64;
      for (int c = 2; c >= 0; --c) {
        const std::size_t at = std::size_t(face) * net::kFaceFloats + (y % 64 * 64 + x % 64) * 3 + c;
        bmp += char(face < n ? (int)((faces[at] + 1) / 2 * 255) : 0);
      }
    }
  }
  return bmp;
}

class WriteSheet : public FileTest {
 protected:
  std::string bmp(const Floats& faces, std::int64_t batch = 1000) {
    write_all(kImage, path("sheet.bmp"), faces, 2, batch);
    return get(path("sheet.bmp"));
  }
};

TEST_F(WriteSheet, BmpAsAPlainLoopMakesIt) {
  for (const std::size_t n : {0, 1, 2, 3, 4, 5, 7, 10, 16, 17, 21}) {
    const Floats faces = random_faces(n);
    const std::string expected = plain_bmp(faces);
    for (const std::int64_t batch : {1, 3, 1000})
      EXPECT_TRUE(bmp(faces, batch) == expected) << n << ", batch " << batch;
    EXPECT_TRUE(through_pipe(kImage, faces) == expected) << n;
  }
}

// Rows long enough for several threads: 70 x 70 cells, filled from a few faces over and over.
TEST_F(WriteSheet, SameForAnyThreads) {
  for (const int threads : {1, 3})
    write_all(kImage, path(std::to_string(threads) + ".bmp"), random_faces(99), threads, 1000, 49);
  EXPECT_TRUE(get(path("1.bmp")) == get(path("3.bmp")));
}

// Around each place where the channel value changes.
TEST_F(WriteSheet, EveryChannelValueAsCComputesIt) {
  Floats faces = random_faces(1);
  std::size_t i = 0;
  for (int level = 0; level <= 255; ++level) {
    float y = float(level / 255.0 * 2 - 1);
    for (int step = 0; step < 16; ++step) y = std::nextafter(y, -1.0f);
    for (int step = 0; step < 33; ++step, y = std::nextafter(y, 1.0f)) faces[i++] = std::min(std::max(y, -1.0f), 1.0f);
  }
  ASSERT_LE(i, faces.size());
  EXPECT_TRUE(bmp(faces) == plain_bmp(faces));
}

TEST_F(WriteSheet, ValuesBeyondTheRangeAreClamped) {
  const float odd[] = {1.1f, -1.1f, 1e30f, -1e30f, kInfinity, -kInfinity, std::nanf("")};
  const int expected[] = {255, 0, 255, 0, 255, 0, 0};
  Floats faces = random_faces(1);
  for (std::size_t i = 0; i < 7; ++i) faces[(63 * 64 + i) * 3 + 2] = odd[i];  // blue of the lowest line: first in a BMP
  const std::string sheet = bmp(faces);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(static_cast<unsigned char>(sheet[54 + 3 * i]), expected[i]) << odd[i];
}

TEST_F(WriteSheet, BeyondFourGiBIsRefusedAtOnce) {
  expect_failure(kBadInput, {"349,282 faces is too large for a BMP", "349,281", ".png", "none", "sheet.bmp'"},
                 [&] { FaceWriter::open_image(path("sheet.bmp"), 349282, 1); });
  EXPECT_EQ(names(), Strings());
  FaceWriter::open_image(path("sheet.bmp"), 349281, 1);  // 591 x 591 still fits
}

#ifdef FACEGEN_PNG

// Pixels of a PNG as in plain_bmp(): blue first, the lowest line first.
std::string pixels_of_png(const std::string& path) {
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_file(&image, path.c_str()), 0) << image.message;
  EXPECT_EQ(image.format, png_uint_32(PNG_FORMAT_RGB));
  image.format = PNG_FORMAT_BGR;
  std::string pixels(PNG_IMAGE_SIZE(image), '\0');
  const png_int_32 stride = -png_int_32(PNG_IMAGE_ROW_STRIDE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, &pixels[0], stride, nullptr), 0) << image.message;
  return pixels;
}

TEST_F(WriteSheet, PngHasThePixelsOfTheBmp) {
  for (const std::size_t n : {1, 2, 5, 9, 10, 21}) {
    const Floats faces = random_faces(n);
    write_all(kImage, path("sheet.png"), faces, 2, 3);
    EXPECT_TRUE(pixels_of_png(path("sheet.png")) == plain_bmp(faces).substr(54)) << n;
  }
  write_all(kImage, path("sheet.PNG"), {});  // of no faces: one black cell
  EXPECT_TRUE(pixels_of_png(path("sheet.PNG")) == std::string(64 * 64 * 3, '\0'));
}

TEST_F(WriteSheet, PngIntoAPipe) {
  const Floats faces = random_faces(5);
  write_all(kImage, path("sheet.png"), faces);
  ASSERT_EQ(::mkfifo(path("pipe.png").c_str(), 0600), 0);
  std::string piped;
  std::thread reader([&] { piped = get(path("pipe.png")); });
  write_all(kImage, path("pipe.png"), faces);
  reader.join();
  EXPECT_TRUE(piped == get(path("sheet.png")));
}

#else

TEST_F(WriteSheet, PngNeedsLibpng) {
  expect_failure(kUsage, {"sheet.png'", "without libpng", ".bmp"},
                 [&] { FaceWriter::open_image(path("sheet.png"), 1, 1); });
  EXPECT_EQ(names(), Strings());
}

#endif

// ---- Names, and what goes wrong

struct Kind {
  Opener open;
  const char* name;
};

mode_t mode_of(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

// From here on mounts are this process' own; false where they may not be.
bool mount_here(const std::string& what, const std::string& where, const char* type, unsigned long flags) {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount(what.c_str(), where.c_str(), type, flags, nullptr) == 0;
}

// Every kind of file must keep these promises.
class OutputPromises : public FileTest, public ::testing::WithParamInterface<Kind> {
 protected:
  std::unique_ptr<FaceWriter> open(const std::string& where) { return GetParam().open(where, 30, 2); }
  void write(const std::string& where) { write_all(GetParam().open, where, faces_, 2, 11); }
  void give_up(const std::string& where) { open(where)->write(7, faces_.data()); }
  void refuse(const Strings& parts, const std::string& where) {
    expect_failure(kUsage, parts, [&] { open(where); });
  }
  // As the run does that a temporary file belongs to.
  Descriptor lock(const std::string& name) {
    Descriptor user(::open(path(name).c_str(), O_RDONLY));
    EXPECT_EQ(::flock(user.get(), LOCK_EX), 0);
    return user;
  }
  // Writes over a long file, in a place that does not let it be replaced: the old contents stay until the end.
  void write_over(const std::string& file) {
    ::chmod(file.c_str(), 0666);
    {
      const NoPrivileges none;
      give_up(file);
      EXPECT_EQ(get(file).substr(0, 3), "xxx");
      EXPECT_NE(open(file)->irreplaceable(), "");
      write(file);
    }
    write(target_);
    EXPECT_TRUE(get(file) == get(target_));
  }

  const Floats faces_ = random_faces(30);
  const std::string name_ = GetParam().name, ending_ = name_.substr(name_.size() - 4), target_ = path(name_);
  const std::string partial_ = "." + name_ + ".partial." + std::to_string(::getpid());
  const Strings alone_ = {name_};
};

INSTANTIATE_TEST_SUITE_P(AllKinds, OutputPromises,
                         ::testing::Values(Kind{kData, "faces.txt"}, Kind{kData, "faces.npy"}, Kind{kImage, "sheet.bmp"}
#ifdef FACEGEN_PNG
                                           ,
                                           Kind{kImage, "sheet.png"}
#endif
                                           ),
                         [](const auto& info) { return std::string(info.param.name).substr(6); });

TEST_P(OutputPromises, AppearsOnlyWhenComplete) {
  put(name_, "the file before");
  const std::unique_ptr<FaceWriter> writer = open(target_);
  writer->write(30, faces_.data());
  EXPECT_EQ(names(), alone_);
  writer->finish();
  EXPECT_EQ(get(target_), "the file before");
  put(name_, "somebody's, which has come in between");
  writer->publish();
  EXPECT_EQ(get(target_).find("somebody's"), std::string::npos);
  remove_unfinished_files();
  EXPECT_EQ(names(), alone_);
}

TEST_P(OutputPromises, GivenUpLeavesNothing) {
  give_up(target_);
  open(target_)->finish();
  EXPECT_EQ(names(), Strings());
  put(name_, "the file before");
  give_up(target_);
  EXPECT_EQ(names(), alone_);
  EXPECT_EQ(get(target_), "the file before");
}

// The target appeared while the run went on.
TEST_P(OutputPromises, ReplacesWhatHasComeInBetween) {
  const std::unique_ptr<FaceWriter> writer = open(target_);
  writer->write(30, faces_.data());
  writer->finish();
  put(name_, "somebody's");
  writer->publish();
  EXPECT_EQ(names(), alone_);
  EXPECT_NE(get(target_), "somebody's");
}

// A file system without nameless files: /proc is hidden from the writers in its place.
TEST_P(OutputPromises, KeepThemWithTemporaryNamesToo) {
  if (!mount_here("none", "/proc", "tmpfs", 0)) GTEST_SKIP() << "hiding /proc needs root";
  put(name_, "the file before");
  ASSERT_EQ(::chmod(target_.c_str(), 0600), 0);
  {
    const std::unique_ptr<FaceWriter> writer = open(target_);
    writer->write(30, faces_.data());
    EXPECT_EQ(names(), (Strings{partial_, name_}));
    EXPECT_EQ(mode_of(path(partial_)), 0600u);
  }
  EXPECT_EQ(names(), alone_);
  EXPECT_EQ(get(target_), "the file before");
  {
    const std::unique_ptr<FaceWriter> writer = open(target_);
    writer->write(30, faces_.data());
    remove_unfinished_files();
    EXPECT_EQ(names(), alone_);
    writer->finish();
    expect_failure(kMachine, {name_}, [&] { writer->publish(); });
  }
  EXPECT_EQ(get(target_), "the file before");
  // What killed runs left goes, what another run has locked stays, and so does what is no name of ours.
  const std::string start = "." + name_ + ".partial.", used = start + "1.2", other = start + "1.a";
  for (const std::string& name : {start + "1", used, other}) put(name, "of another run");
  const Descriptor user = lock(used);
  write(target_);
  EXPECT_EQ(names(), (Strings{used, other, name_}));
  EXPECT_NE(get(target_), "the file before");
  const std::unique_ptr<FaceWriter> first = open(target_), second = open(target_);  // neither takes the other's
  for (FaceWriter* writer : {first.get(), second.get()}) writer->write(30, faces_.data());
  for (FaceWriter* writer : {first.get(), second.get()}) writer->finish(), writer->publish();
  EXPECT_EQ(names(), (Strings{used, other, name_}));
  EXPECT_EQ(::umount("/proc"), 0);
}

TEST_P(OutputPromises, AnotherRunsFileOfTheSameNameIsNotTouched) {
  put(partial_, "somebody's");
  const Descriptor user = lock(partial_);
  for (int i = 0; i < 2; ++i) write(target_);  // the file is new, then replaced
  EXPECT_EQ(names(), (Strings{partial_, name_}));
  EXPECT_EQ(get(path(partial_)), "somebody's");
}

TEST_P(OutputPromises, FollowsLinks) {
  make_folder("there", 0755);
  const std::string link_here = link("link" + ending_, "there/" + name_);
  for (int i = 0; i < 2; ++i) {  // the file is new, then exists
    write(link_here);
    EXPECT_TRUE(std::filesystem::is_symlink(link_here));
    EXPECT_TRUE(std::filesystem::is_regular_file(path("there/" + name_)));
    EXPECT_EQ(names().size(), 2u);
  }
}

TEST_P(OutputPromises, PermissionsAreTheUmasksOrTheOldFiles) {
  const mode_t before = ::umask(027);
  write(target_);
  ::umask(before);
  EXPECT_EQ(mode_of(target_), 0640u);
  ASSERT_EQ(::chmod(target_.c_str(), 0604), 0);
  write(target_);
  EXPECT_EQ(mode_of(target_), 0604u);
}

TEST_P(OutputPromises, NamesOfAnyLength) {
  const std::string name = std::string(251, 'x') + ending_;
  write(path(name));
  EXPECT_EQ(names(), Strings{name});
}

TEST_P(OutputPromises, RefusesPathsThatCannotBeCreated) {
  put("file", "");
  make_folder(name_, 0755);
  refuse({"absent", "No such file or directory", "Create its folder"}, path("absent/" + name_));
  refuse({"Not a directory"}, path("file/" + name_));
  refuse({"'" + target_ + "'", "Is a directory"}, target_);
  refuse({"File name too long"}, path(std::string(252, 'x') + ending_));
  refuse({"loop", "symbolic links"}, link("loop" + ending_, "loop" + ending_));
}

TEST_P(OutputPromises, RefusesPathsThatMayNotBeWritten) {
  make_folder("locked", 0555);
  put(name_, "kept");
  ::chmod(target_.c_str(), 0444);
  const NoPrivileges none;
  refuse({"Permission denied", "folder that you may write to"}, path("locked/" + name_));
  refuse({"'" + target_ + "'", "Permission denied"}, target_);
  EXPECT_EQ(get(target_), "kept");
}

// The folder does not let the file be replaced, but it may be written.
TEST_P(OutputPromises, WritesOverAFileInALockedFolder) {
  const std::string file = put("locked/" + name_, std::string(9000000, 'x'));
  ::chmod(path("locked").c_str(), 0555);
  write_over(file);
  ::chmod(path("locked").c_str(), 0755);
}

TEST_P(OutputPromises, WritesOverAnothersFileInAStickyFolder) {
  if (::geteuid() != 0) GTEST_SKIP() << "a file of another user needs root";
  make_folder("sticky", 01777);
  write_over(put("sticky/" + name_, std::string(9000000, 'x')));
}

TEST_P(OutputPromises, WritesOverAMountPoint) {
  const std::string mounted = put("mounted", "xxx");
  put(name_, "the point");
  if (!mount_here(mounted, target_, nullptr, MS_BIND)) GTEST_SKIP() << "mounting needs root";
  open(target_)->write(30, faces_.data());
  EXPECT_EQ(get(target_), "xxx");
  write(target_);
  EXPECT_EQ(::umount(target_.c_str()), 0);
  EXPECT_EQ(get(target_), "the point");
  write(target_);
  EXPECT_TRUE(get(mounted) == get(target_));
}

// A file system that fills: here the limit on file sizes, which strikes in the same place.
TEST_P(OutputPromises, AFullDiskLeavesNothing) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {200000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_failure(kMachine, {"'" + target_ + "'", "File too large", "ulimit -f"}, [&] { write(target_); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(names(), Strings());
}

TEST_P(OutputPromises, SaysThatAPipeBrokeOrADeviceIsFull) {
  ::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  const std::string broken = link("broken" + ending_, "/dev/fd/" + std::to_string(ends[1]));
  expect_failure(kMachine, {"'" + broken + "'", "Broken pipe", "has ended"}, [&] { write(broken); });
  ::close(ends[1]);
  const std::string full = link("full" + ending_, "/dev/full");
  expect_failure(kMachine, {"'" + full + "'", "No space left on device", "Free some space"}, [&] { write(full); });
  EXPECT_TRUE(std::filesystem::is_symlink(full));
}

TEST_P(OutputPromises, ManyWritersAtATime) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { write(path(std::to_string(i) + name_)); });
  for (std::thread& thread : threads) thread.join();
  write(target_);
  EXPECT_EQ(names().size(), 5u);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(get(path(std::to_string(i) + name_)) == get(target_)) << i;
}

TEST_P(OutputPromises, ClosesWhatItOpens) {
  write(target_);
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open_files();
  write(target_);
  give_up(target_);
  refuse({"absent"}, path("absent/" + name_));
  EXPECT_EQ(open_files(), before);
}

}  // namespace
