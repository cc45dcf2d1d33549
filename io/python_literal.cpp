#include "io/python_literal.h"

#include <charconv>
#include <cstddef>
#include <system_error>
#include <utility>

namespace {

constexpr int kDeepest = 100;  // brackets within brackets

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

// 10, 1_000, 0x64, 0o17, 0b11, 00; false for anything else, and beyond 64 bits.
bool parse_integer(std::string_view word, std::int64_t* value) {
  int base = 10;
  if (word.size() > 2 && word[0] == '0') {
    base = is_one_of(word[1], "xX") ? 16 : is_one_of(word[1], "oO") ? 8 : is_one_of(word[1], "bB") ? 2 : 10;
  }
  if (base != 10) word.remove_prefix(word[2] == '_' ? 3 : 2);
  std::string digits;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '_') {
      digits += word[i];
    } else if (i == 0 || i + 1 == word.size() || word[i + 1] == '_') {
      return false;
    }
  }
  const char* const end = digits.data() + digits.size();
  const std::from_chars_result result = std::from_chars(digits.data(), end, *value, base);
  const bool zeros_in_front =
      base == 10 && digits[0] == '0' && *value != 0;  // Python takes such a number for a mistake
  return result.ec == std::errc() && result.ptr == end && !zeros_in_front;
}

class Parser {
 public:
  Parser(std::string_view text, bool python2) : text_(text), python2_(python2) {}

  bool whole(PythonLiteral* value) { return parse(value) && at_ == text_.size(); }

 private:
  char next(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool passes(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  std::string_view take_name() {
    const std::size_t start = at_;
    while (is_name(next())) ++at_;
    return text_.substr(start, at_ - start);
  }
  bool string_ahead() const {
    std::size_t prefix = 0;
    while (is_name(next(prefix))) ++prefix;
    return is_one_of(next(prefix), "'\"");
  }

  void skip_space() {
    for (; at_ < text_.size(); ++at_) {
      if (next() == '#') {
        while (at_ < text_.size() && !is_one_of(next(), "\r\n")) ++at_;
        if (at_ == text_.size()) return;
      }
      const bool line_goes_on = next() == '\\' && is_one_of(next(1), "\r\n");
      if (!line_goes_on && !is_one_of(next(), " \t\f\r\n")) return;
    }
  }

  bool parse(PythonLiteral* value) {
    skip_space();
    const std::size_t start = at_;
    if (++depth_ > kDeepest || !parse_bare(value)) return false;
    --depth_;
    value->source = text_.substr(start, at_ - start);
    skip_space();
    return true;
  }

  bool parse_bare(PythonLiteral* value) {
    if (passes("(")) return parse_items(value, ')');
    if (passes("[")) return parse_items(value, ']');
    if (passes("{")) return parse_items(value, '}');
    if (is_digit(next()) || is_one_of(next(), "+-.")) return parse_number(value);
    if (string_ahead()) return parse_strings(value);
    const std::string_view name = take_name();
    value->integer = name == "True";
    value->kind = name == "True" || name == "False" ? PythonLiteral::kBool : PythonLiteral::kOther;
    return value->kind == PythonLiteral::kBool || name == "None";
  }

  bool parse_items(PythonLiteral* value, char close) {
    const std::string_view end(&close, 1);
    bool comma = false;
    for (skip_space(); !passes(end); skip_space()) {
      if (!value->items.empty() && !comma) return false;
      if (!parse(&value->items.emplace_back())) return false;
      if (close == '}' && (!passes(":") || !parse(&value->items.emplace_back()))) return false;
      comma = passes(",");
    }
    value->kind = close == ')' ? PythonLiteral::kTuple : close == ']' ? PythonLiteral::kList : PythonLiteral::kDict;
    if (close == ')' && value->items.size() == 1 && !comma) {  // only brackets around a value
      PythonLiteral inner = std::move(value->items[0]);
      *value = std::move(inner);
    }
    return true;
  }

  bool parse_strings(PythonLiteral* value) {
    value->kind = PythonLiteral::kString;
    for (; string_ahead(); skip_space()) {
      std::string prefix(take_name());
      for (char& c : prefix) c = static_cast<char>(c | 0x20);  // lower case
      const bool bytes = prefix == "b" || prefix == "br" || prefix == "rb";
      if (!bytes && prefix != "" && prefix != "u" && prefix != "r") return false;
      if (bytes) value->kind = PythonLiteral::kOther;
      if (!parse_string(&value->string, is_one_of('r', prefix))) return false;
    }
    return true;
  }

  bool parse_string(std::string* to, bool raw) {
    const std::string_view quote = text_.substr(at_, 1), triple = text_.substr(at_, 3);
    const bool is_long = triple == "'''" || triple == "\"\"\"";
    at_ += is_long ? 3 : 1;
    while (!passes(is_long ? triple : quote)) {
      if (at_ == text_.size() || (!is_long && is_one_of(next(), "\r\n"))) return false;
      const char c = text_[at_++];
      if (c != '\\') {
        *to += c;
      } else if (raw) {
        *to += c;
        if (at_ < text_.size()) *to += text_[at_++];
      } else if (!parse_escape(to)) {
        return false;
      }
    }
    return true;
  }

  bool parse_escape(std::string* to) {
    if (at_ == text_.size()) return false;
    constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeant = "\a\b\f\n\r\t\v\\'\"";
    const std::size_t start = at_;
    const char c = text_[at_++];
    if (const std::size_t place = kLetters.find(c); place != std::string_view::npos) {
      *to += kMeant[place];
      return true;
    }
    if (c == '\r' || c == '\n') {
      if (c == '\r' && next() == '\n') ++at_;
      return true;
    }
    const bool octal = c >= '0' && c <= '7';
    const std::size_t most = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const std::string_view digits = text_.substr(octal ? start : at_, most);
    std::uint32_t code = 0;
    const char* const end = std::from_chars(digits.data(), digits.data() + digits.size(), code, octal ? 8 : 16).ptr;
    const std::size_t count = static_cast<std::size_t>(end - digits.data());
    if (most > 0 && (octal ? count == 0 : count != most)) return false;
    at_ += octal ? count - 1 : count;
    if (most > 0 && code < 0x80) {
      *to += static_cast<char>(code);
    } else {
      to->append("\\").append(text_.substr(start, at_ - start));
    }
    return true;
  }

  bool parse_number(PythonLiteral* value) {
    const bool negative = next() == '-';
    if (is_one_of(next(), "+-")) ++at_;
    skip_space();
    const std::size_t start = at_;
    while (is_name(next()) || next() == '.') ++at_;
    std::string_view word = text_.substr(start, at_ - start);
    if (word.empty()) return false;
    if (python2_ && word.back() == 'L') word.remove_suffix(1);
    const bool integer = parse_integer(word, &value->integer);
    value->kind = integer ? PythonLiteral::kInteger : PythonLiteral::kOther;
    if (negative) value->integer = -value->integer;
    return true;
  }

  const std::string_view text_;
  const bool python2_;
  std::size_t at_ = 0;
  int depth_ = 0;
};
}  // namespace

const PythonLiteral* PythonLiteral::find(std::string_view key) const {
  const PythonLiteral* found = nullptr;  // the last one counts
  for (std::size_t i = 0; kind == kDict && i + 1 < items.size(); i += 2) {
    if (items[i].kind == kString && items[i].string == key) found = &items[i + 1];
  }
  return found;
}

std::optional<PythonLiteral> parse_python_literal(std::string_view text, bool python2) {
  PythonLiteral value;
  const bool zero_byte = text.find('\0') != std::string_view::npos;  // even in a comment
  if (zero_byte || !Parser(text, python2).whole(&value)) return std::nullopt;
  return value;
}
