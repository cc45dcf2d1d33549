// What the C++ tests share: a folder of their own, whole files in and out, and what a Failure must say.
#ifndef FACEGEN_TESTS_SUPPORT_H_
#define FACEGEN_TESTS_SUPPORT_H_

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "common/failure.h"

using Strings = std::vector<std::string>;
using Floats = std::vector<float>;

// Every test gets an empty folder, removed after it.
class FileTest : public ::testing::Test {
 protected:
  FileTest() {
    std::string name = ::testing::TempDir() + "/facegen_io.XXXXXX";
    folder_ = ::mkdtemp(&name[0]);
    ::chmod(folder_.c_str(), 0755);
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // A file with these bytes, in folders that need not exist -> its path.
  std::string put(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

  std::string link(const std::string& name, const std::string& target) const {
    std::filesystem::create_symlink(target, path(name));
    return path(name);
  }

  std::string make_folder(const std::string& name, mode_t mode) const {
    EXPECT_EQ(::mkdir(path(name).c_str(), mode), 0);
    EXPECT_EQ(::chmod(path(name).c_str(), mode), 0);  // whatever the umask
    return path(name);
  }

  // Names in the folder, hidden ones too, sorted.
  Strings names() const {
    Strings found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }

  std::string folder_;
};

inline std::string get(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// n values from -1 to 1.
inline Floats random_values(std::size_t n, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  Floats values(n);
  for (float& value : values) value = uniform(random);
  return values;
}

// Expects a Failure with this status whose sentence holds every one of these parts, on one line.
inline void expect_failure(ExitStatus status, const Strings& parts, const std::function<void()>& work) {
  try {
    work();
    ADD_FAILURE() << "nothing failed; expected: " << ::testing::PrintToString(parts);
  } catch (const Failure& failure) {
    const std::string sentence = failure.what();
    EXPECT_EQ(failure.status(), status) << sentence;
    for (const std::string& part : parts)
      EXPECT_NE(sentence.find(part), std::string::npos) << sentence << "\nlacks: " << part;
    EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
  }
}

// An environment variable, for as long as this lasts; nullptr: not set.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { value ? ::setenv(name, value, 1) : ::unsetenv(name); }
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

// Root may read and write everything: gives that up for a while, where the tests run as root.
class NoPrivileges {
 public:
  NoPrivileges() { EXPECT_EQ(::geteuid() == 0 ? ::seteuid(65534) : 0, 0); }
  ~NoPrivileges() { EXPECT_EQ(::getuid() == 0 ? ::seteuid(0) : 0, 0); }
};

// Makes a standard stream mean another file for a while.
class Redirect {
 public:
  Redirect(int standard, int to) : standard_(standard), saved_(::dup(standard)) { ::dup2(to, standard); }
  ~Redirect() {
    ::dup2(saved_, standard_);
    ::close(saved_);
  }

 private:
  int standard_, saved_;
};

#endif  // FACEGEN_TESTS_SUPPORT_H_
