// Where a run's time went: rows that the driver, the ranks and their devices add as they go, printed as a table
// (--profile) or written as JSON (--json). Adding a row costs nothing that could be measured; there is no switch.
#ifndef FACEGEN_COMMON_PROFILE_H_
#define FACEGEN_COMMON_PROFILE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

struct ProfileRow {
  std::string stage;  // "write data"
  int rank = 0;
  std::string device;  // "" where the host itself did it
  double seconds = 0;
  std::int64_t bytes = 0;  // moved; 0: none
  std::int64_t faces = 0;
  double peak_flops = 0;  // of the device, for stages that compute; 0: unknown
  bool of_run = false;    // a step of the run as a whole (ProfileSteps); the others lie beside these
};

// Adds to this rank's row of that stage and device (thread-safe).
void profile_add(const std::string& stage, const std::string& device, double seconds, std::int64_t bytes,
                 std::int64_t faces, double peak_flops = 0);

// This rank's rows in the order of their first adding, as text and back, for the way to rank 0.
std::string profile_rows_as_text();
std::vector<ProfileRow> profile_rows_from_text(const std::string& text);

// Seconds since its construction.
class ProfileTimer {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The steps that rank 0 takes one after the other, from the construction on: their times add up to the run's.
class ProfileSteps {
 public:
  // The time since the step before was this one's.
  void done(const std::string& step, std::int64_t faces = 0, std::int64_t bytes = 0);

  double seconds() const { return run_.seconds(); }

 private:
  ProfileTimer run_;
  double before_ = 0;  // when the last step was done
};

// What the table and the JSON say above the rows.
struct ProfileSummary {
  std::string program, version, built_with;
  int ranks = 1;
  std::int64_t faces = 0;
  double elapsed_s = 0, whole_run_s = 0;
};

std::string profile_table(const ProfileSummary& summary, const std::vector<ProfileRow>& rows);
std::string profile_json(const ProfileSummary& summary, const std::vector<ProfileRow>& rows);

#endif  // FACEGEN_COMMON_PROFILE_H_
