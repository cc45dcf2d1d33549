// Text from outside (names, files' contents, variables, a unit's notes) made fit for a terminal.
#ifndef FACEGEN_COMMON_PRINTABLE_H_
#define FACEGEN_COMMON_PRINTABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// How many bytes the character at the start of `text` has, where it is one that a terminal shows; else 0: control
// characters, what is no UTF-8, and characters that are invisible or turn the direction of writing.
inline std::size_t shown_bytes(std::string_view text) {
  struct Range {
    char32_t first, last;
  };
  static constexpr Range kHidden[] = {
      {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},          {0x180e, 0x180e},
      {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},   {0xd800, 0xdfff},        {0xfeff, 0xfeff},
      {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff}, {0x110000, ~char32_t{0}}};
  static constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};  // of so many bytes: longer forms are no UTF-8
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const std::size_t bytes = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
  if (bytes == 0 || bytes > text.size()) return 0;
  char32_t code = bytes == 1 ? lead : lead & (0x7f >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  if (code < kLeast[bytes]) return 0;
  for (const Range range : kHidden) {
    if (code >= range.first && code <= range.last) return 0;
  }
  return bytes;
}

// Every byte that a terminal would not show as a character as \xNN, but for those in `kept`; readable UTF-8 stays. The
// same in every locale.
inline std::string printable(std::string_view text, std::string_view kept = "") {
  std::string out;
  while (!text.empty()) {
    const bool stays = kept.find(text[0]) != std::string_view::npos;
    const std::size_t shown = stays ? 1 : shown_bytes(text);
    if (shown > 0) {
      out += text.substr(0, shown);
    } else {
      const unsigned char byte = static_cast<unsigned char>(text[0]);
      out += {'\\', 'x', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    }
    text.remove_prefix(shown > 0 ? shown : 1);
  }
  return out;
}

#endif  // FACEGEN_COMMON_PRINTABLE_H_
