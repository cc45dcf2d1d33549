// Numbers as text, the same whatever locale somebody has set.
#ifndef FACEGEN_COMMON_DECIMAL_H_
#define FACEGEN_COMMON_DECIMAL_H_

#include <charconv>
#include <string>

// 0.5, 2 -> "0.50", as printf's %.2f in the C locale.
inline std::string decimal(double value, int decimals) {
  char text[400];  // the largest double has 309 digits
  return std::string(text, std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals).ptr);
}

// 123456789, 6 -> "1.23457e+08", as printf's %.6g.
inline std::string significant(double value, int digits) {
  char text[64];
  return std::string(text, std::to_chars(text, text + sizeof text, value, std::chars_format::general, digits).ptr);
}

#endif  // FACEGEN_COMMON_DECIMAL_H_
