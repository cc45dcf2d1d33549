// Where a run's time went: rows that the driver, the ranks and their devices add as they go, printed as a table
// (--profile) or written as JSON (--json). Adding a row costs nothing that could be measured; there is no switch.
#ifndef FACEGEN_COMMON_PROFILE_H_
#define FACEGEN_COMMON_PROFILE_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

// Seconds since its construction.
class ProfileTimer {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct ProfileRow {
  std::string stage;  // "write data"
  int rank = 0;
  std::string device;  // "" where the host itself did it
  double seconds = 0;
  std::int64_t bytes = 0;  // moved; 0: none
  std::int64_t faces = 0;
  double peak_flops = 0;  // of the device, for stages that compute; 0: unknown
  bool of_run = false;    // a step of the run as a whole; the others lie beside these
};

// One rank's rows, from its construction on.
struct Profile {
 public:
  // Adds to the row of that stage and device (thread-safe).
  void add(const std::string& stage, const std::string& device, double seconds, std::int64_t bytes, std::int64_t faces,
           double peak_flops = 0) {
    add({stage, 0, device, seconds, bytes, faces, peak_flops, false});
  }
  // A step of the run, which took the time since the step before: the times of rank 0's steps add up to the run's.
  void step(const std::string& name, std::int64_t faces = 0, std::int64_t bytes = 0);

  double seconds() const { return run_.seconds(); }
  std::string as_text() const;  // for the way to rank 0: steps first, else in the order of their first adding

 private:
  void add(const ProfileRow& added);
  ProfileTimer run_;
  double before_ = 0;  // when the last step was done
  mutable std::mutex mutex_;
  std::vector<ProfileRow> rows_;
};

// Every rank's text, by rank -> all rows.
std::vector<ProfileRow> profile_rows(const std::vector<std::string>& texts);

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
