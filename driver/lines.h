// The course's lines, which scripts read: "Calculating... done!".
#ifndef FACEGEN_DRIVER_LINES_H_
#define FACEGEN_DRIVER_LINES_H_

#include <cstdio>
#include <string>

// Every call throws Failure (kMachine) where the line cannot be written.
class Lines {
 public:
  explicit Lines(std::FILE* file) : file_(file) {}

  void begin(const std::string& what);
  void end();
  void elapsed(double seconds);

  // What of the present line stands on the terminal that standard error goes to.
  std::string on_terminal() const;

 private:
  std::FILE* const file_;
  std::string open_;  // what was begun
};

// Writes a text and makes sure that it got there. Throws Failure (kMachine).
void print_or_fail(const std::string& text, std::FILE* file);

#endif  // FACEGEN_DRIVER_LINES_H_
