// Words for people: numbers, and text from outside that must not act on a terminal.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "common/printable.h"
#include "common/wording.h"

namespace {

TEST(Grouped, Thousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(-999), "-999");
  EXPECT_EQ(grouped(20549132), "20,549,132");
  EXPECT_EQ(grouped(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Printable, ReadableTextStays) {
  for (const char* text : {"", "noise 1.txt", "a\\b'c\"", "\uc5bc\uad74.txt", "gr\u00fc\u00df", "\u00e9",
                           "\u03c9\u2192\u221e", "\U0001f600", "\U0010fffd", "\ue000"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, WhatMayActOnATerminalOrIsNoUtf8IsEscaped) {
  const std::pair<std::string, const char*> rows[] = {
      {std::string("\0\t\n\r\x1b[2J\x7f", 9), R"(\x00\x09\x0a\x0d\x1b[2J\x7f)"},
      {"\u009b31m", R"(\xc2\x9b31m)"},                // a control sequence's start in one character
      {"\x9b" + std::string("31m"), R"(\x9b31m)"},    // and in one byte
      {"a\u202egnp.exe", R"(a\xe2\x80\xaegnp.exe)"},  // writes from right to left
      {"\u200b\ufeff", R"(\xe2\x80\x8b\xef\xbb\xbf)"},
      {"\xff\xfe" + std::string("a\x80"), R"(\xff\xfea\x80)"},
      {"\xea\xb5", R"(\xea\xb5)"},  // cut off
      {"\xea\xb5" + std::string("a"), R"(\xea\xb5a)"},
      {"\xc0\xaf\xe0\x9b\x9b", R"(\xc0\xaf\xe0\x9b\x9b)"},  // longer than need be
      {"\xed\xa0\x80", R"(\xed\xa0\x80)"},                  // half a character of UTF-16
      {"\xf4\x90\x80\x80", R"(\xf4\x90\x80\x80)"}};         // beyond Unicode
  for (const auto& [text, shown] : rows) EXPECT_EQ(printable(text), shown);
  EXPECT_EQ(printable("one\ntwo\t\x1b\n", "\n"), "one\ntwo\\x09\\x1b\n");  // some may stay
}

TEST(Printable, IsDoneOnce) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string once = printable(std::string(3, static_cast<char>(byte)));
    EXPECT_EQ(printable(once), once);
  }
}

TEST(QuotedWord, OnlyTheStartOfALongOne) {
  EXPECT_EQ(quoted_word("abc"), "'abc'");
  EXPECT_EQ(quoted_word(std::string(41, 'a')), "'" + std::string(40, 'a') + "...'");
  EXPECT_EQ(quoted_word("aa" + std::string(39, 'b')), "'aa" + std::string(38, 'b') + "...'");
  std::string korean;
  for (int i = 0; i < 20; ++i) korean += "\uc5bc";
  EXPECT_EQ(quoted_word(korean), "'" + korean.substr(0, 39) + "...'");  // 13 characters of 3 bytes, none cut
}

TEST(Failure, IsOnePrintableLine) {
  const Failure failure(kUsage, "FACEGEN_CPU=\x1b[31m\n is unknown");
  EXPECT_STREQ(failure.what(), "FACEGEN_CPU=\\x1b[31m\\x0a is unknown");
  EXPECT_EQ(failure.status(), kUsage);
}

TEST(Cannot, SaysWhatToDo) {
  EXPECT_STREQ(cannot("write", "'x'", ENOSPC).what(),
               "cannot write 'x': No space left on device. Free some space there, or name a file on another disk.");
}

TEST(Cannot, BlamesTheNameOrTheMachine) {
  for (const int error : {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, EROFS, ELOOP, ENAMETOOLONG, ETXTBSY, ENXIO}) {
    EXPECT_EQ(cannot("read", "'x'", error, kBadInput).status(), kBadInput) << error;
    EXPECT_EQ(cannot("write", "'x'", error, kUsage).status(), kUsage) << error;
  }
  for (const int error : {EIO, ENOMEM, EMFILE, ENFILE, ESTALE, ENOSPC, EDQUOT, ETIMEDOUT, EBADF}) {
    EXPECT_EQ(cannot("read", "'x'", error, kBadInput).status(), kMachine) << error;
  }
}

}  // namespace
