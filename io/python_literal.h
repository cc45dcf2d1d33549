// Values written in Python, as numpy.load reads a .npy header: strings, whole numbers, tuples, lists, dicts.
#ifndef FACEGEN_IO_PYTHON_LITERAL_H_
#define FACEGEN_IO_PYTHON_LITERAL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct PythonLiteral {
  enum Kind { kString, kInteger, kBool, kTuple, kList, kDict, kOther };  // kOther: bytes, None, floats, huge integers
  Kind kind = kOther;
  std::string_view source;           // as written
  std::string string;                // kString
  std::int64_t integer = 0;          // kInteger; kBool: 0 or 1
  std::vector<PythonLiteral> items;  // kTuple, kList; kDict: key, value, key, value, ...

  // Of a dict, the value of a key; nullptr where there is none.
  const PythonLiteral* find(std::string_view key) const;
};

// The value that `text` holds, with comments and white space around; nothing where it is no such value. python2: whole
// numbers may end in L. The result refers to `text`.
std::optional<PythonLiteral> parse_python_literal(std::string_view text, bool python2);

#endif  // FACEGEN_IO_PYTHON_LITERAL_H_
