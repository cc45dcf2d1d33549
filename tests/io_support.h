// What the tests of io/ share: a folder of their own, whole files in and out, and what a Failure must say.
#ifndef FACEGEN_TESTS_IO_SUPPORT_H_
#define FACEGEN_TESTS_IO_SUPPORT_H_

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "common/failure.h"

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

  std::string put(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

  // Names in the folder, hidden ones too, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> found;
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

// Expects a Failure with this status whose sentence holds every one of these parts, on one line.
inline void expect_failure(ExitStatus status, const std::vector<std::string>& parts,
                           const std::function<void()>& work) {
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

// Root may read and write everything: gives that up for a while, where the tests run as root.
class NoPrivileges {
 public:
  NoPrivileges() {
    if (::geteuid() == 0) {
      EXPECT_EQ(::seteuid(65534), 0);
    }
  }
  ~NoPrivileges() {
    if (::getuid() == 0) {
      EXPECT_EQ(::seteuid(0), 0);
    }
  }
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

#endif  // FACEGEN_TESTS_IO_SUPPORT_H_
